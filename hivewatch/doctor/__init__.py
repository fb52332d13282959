"""Checks whether hivewatch can work on this machine; ``examine`` yields one finding after the other."""

from hivewatch.doctor.examine import examine
from hivewatch.doctor.finding import Finding, Verdict, document, exit_code

__all__ = ["Finding", "Verdict", "document", "examine", "exit_code"]
