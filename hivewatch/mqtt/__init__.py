"""From the outbox on disk to an MQTT broker, in a thread of its own."""
