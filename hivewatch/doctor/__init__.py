"""Examines whether hivewatch can work on this machine: ``examine`` yields what it finds, thing by thing."""

from hivewatch.doctor.examine import examine
from hivewatch.doctor.finding import Finding, Verdict, document, exit_code

__all__ = ["Finding", "Verdict", "document", "examine", "exit_code"]
