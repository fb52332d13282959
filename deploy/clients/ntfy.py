"""Send each new hornet visit once to ntfy (https://ntfy.sh, or your own server), with its picture.

Run this bridge beside the broker, as a service of your own. The broker queues messages while it is stopped.
Requires paho-mqtt 2.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

MAX_REMEMBERED = 1000
PICTURE_TIMEOUT_S = 60.0
TOO_MANY_REQUESTS = 429


class Bridge:
    """Matches each start event with the picture whose hash it names, and sends both as one notification."""

    def __init__(self, url: str, token: str | None) -> None:
        """``url`` is ntfy's address with the topic; ``token`` its access token, if it requires one."""
        self._url = url
        self._token = token
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, tuple[float, dict[str, Any]]] = {}

    def on_message(self, topic: str, payload: bytes) -> None:
        """Handle a message from a hive."""
        if topic.endswith("/snapshot"):
            waiting = self._waiting.pop(hashlib.sha256(payload).hexdigest(), None)
            if waiting is not None:
                self._send(waiting[1], payload)
            return
        try:
            event = json.loads(payload)
            is_start = event["event_type"] == "start"
            sighting_id, snapshot = event["sighting_id"], event["snapshot"]
        except (ValueError, KeyError, TypeError) as error:
            print(f"{topic}: not a hivewatch event: {error!r}", file=sys.stderr)
            return
        if is_start and self._is_new(sighting_id):
            if snapshot is None:
                self._send(event, None)
            else:
                self._waiting[snapshot["sha256"]] = time.monotonic() + PICTURE_TIMEOUT_S, event

    def send_overdue(self) -> None:
        """Send the events that have waited too long for their picture, without it."""
        now_s = time.monotonic()
        for sha256 in [key for key, (deadline_s, _) in self._waiting.items() if deadline_s < now_s]:
            self._send(self._waiting.pop(sha256)[1], None)

    def _is_new(self, sighting_id: str) -> bool:
        """Return whether this event arrives for the first time; it may be delivered twice."""
        if sighting_id in self._seen:
            return False
        self._seen[sighting_id] = None
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _send(self, event: dict[str, Any], picture: bytes | None) -> None:
        seen_at = datetime.fromisoformat(event["started_at"]).astimezone()
        kind = "Test alert of" if event.get("test") else "Hornet at"
        message = f"Seen at {seen_at:%H:%M}, score {event['best_score']:.0%}"
        query = urllib.parse.urlencode({"title": f"{kind} {event['hive']['name']}", "message": message})
        request = urllib.request.Request(f"{self._url}?{query}", picture, method="PUT")
        if picture is not None:
            request.add_header("Filename", f"{event['sighting_id']}.jpg")
            request.add_header("Content-Type", "image/jpeg")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        # Retry until it is delivered; meanwhile, the broker queues new messages.
        for wait_s in itertools.chain((1.0, 2.0, 4.0, 8.0, 16.0, 32.0), itertools.repeat(60.0)):
            try:
                urllib.request.urlopen(request, timeout=30).close()
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != TOO_MANY_REQUESTS:
                    sys.exit(f"ntfy rejects the message: {error}; check the address and NTFY_TOKEN")
                print(f"ntfy: {error}", file=sys.stderr)
            except OSError as error:
                print(f"ntfy cannot be reached: {error}", file=sys.stderr)
            else:
                return
            time.sleep(wait_s)


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description="Send each new hornet visit to ntfy, with its picture.")
    parser.add_argument(
        "url",
        help="https://ntfy.sh/<topic>, or your own server; access token: environment variable NTFY_TOKEN",
    )
    parser.add_argument("--broker", default="localhost", metavar="HOST")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path, metavar="FILE")
    parser.add_argument("--tls", action="store_true", help="encrypt; trusts the system's certificates")
    parser.add_argument("--base-topic", default="hivewatch")
    arguments = parser.parse_args()

    bridge = Bridge(arguments.url, os.environ.get("NTFY_TOKEN"))
    # A persistent session: the broker queues messages for it while it is disconnected.
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="hivewatch-ntfy", clean_session=False)
    if arguments.username:
        password = arguments.password_file.read_text().removesuffix("\n") if arguments.password_file else None
        client.username_pw_set(arguments.username, password)
    if arguments.tls:
        client.tls_set()
    topics = [(f"{arguments.base_topic}/+/{leaf}", 1) for leaf in ("event", "snapshot")]

    def on_connect(client: mqtt.Client, _data: object, _flags: object, reason: object, _more: object) -> None:
        if reason.is_failure:  # type: ignore[attr-defined]
            sys.exit(f"the broker rejects the connection: {reason}")
        client.subscribe(topics)

    client.on_connect = on_connect
    client.on_message = lambda _client, _data, message: bridge.on_message(message.topic, message.payload)
    client.connect(arguments.broker, arguments.port)
    while True:
        try:
            is_connected = client.loop(timeout=1.0) == mqtt.MQTT_ERR_SUCCESS
        except (ValueError, KeyError, struct.error) as error:
            print(f"the broker sent what is not MQTT: {error!r}", file=sys.stderr)
            is_connected = False
        if not is_connected:
            time.sleep(2.0)
            try:
                client.reconnect()
            except OSError as error:
                print(f"the broker cannot be reached: {error}", file=sys.stderr)
        bridge.send_overdue()


if __name__ == "__main__":
    main()
