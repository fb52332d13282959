"""Print each new visit of a hornet, and keep the last picture: python subscriber.py BROKER [PORT]."""

import json, pathlib, sys
import paho.mqtt.client as mqtt


def on_message(client, _data, message):
    if message.topic.endswith("/snapshot"):
        pathlib.Path(message.topic.split("/")[-2] + ".jpg").write_bytes(message.payload)
    elif (event := json.loads(message.payload))["event_type"] == "start":
        print(event["started_at"], event["hive"]["name"], f"score {event['best_score']:.2f}", flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe(
    [("hivewatch/+/event", 1), ("hivewatch/+/snapshot", 1)]
)
client.connect(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1883)
client.loop_forever()
