"""The MQTT connection: a publisher in a thread of its own, a follower, and a probe."""
