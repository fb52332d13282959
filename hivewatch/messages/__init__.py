"""MQTT messages: all topics and JSON documents are made in this package."""
