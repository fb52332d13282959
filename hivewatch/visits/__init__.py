"""Reports the visits in the store for people (``visit_table``) and for spreadsheets (``visit_csv``)."""

from hivewatch.visits.report import Report, read_report
from hivewatch.visits.spreadsheet import visit_csv
from hivewatch.visits.table import visit_table

__all__ = ["Report", "read_report", "visit_csv", "visit_table"]
