"""Evaluation of a model: ranking, alarms, localization, clips."""
