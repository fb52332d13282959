"""How well a model ranks, alarms and points."""
