"""Print each new hornet visit, and save each hive's last picture: python subscriber.py BROKER [PORT]."""

import json
import sys
from pathlib import Path

from paho.mqtt.subscribe import callback


def on_message(_client, _data, message):
    """Save a picture, or print the start of a visit."""
    if message.topic.endswith("/snapshot"):
        Path(message.topic.split("/")[-2] + ".jpg").write_bytes(message.payload)
    elif (event := json.loads(message.payload))["event_type"] == "start":
        what = "test alert" if event.get("test") else f"score {event['best_score']:.2f}"
        print(event["started_at"], event["hive"]["name"], what, flush=True)


topics = ["hivewatch/+/event", "hivewatch/+/snapshot"]
callback(on_message, topics, qos=1, hostname=sys.argv[1], port=int((sys.argv[2:] or [1883])[0]))
