"""hivewatch watches a hive entrance for the Asian hornet and alerts over MQTT."""

__version__ = "0.4.0"
