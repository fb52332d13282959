"""Many hives at once, followed over MQTT."""
