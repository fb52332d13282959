"""A real Home Assistant: its Debian tree, and a client that starts it, sets it up and queries it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from support.brokers import free_port, wait_until
from support.debian_tree import DebianTree

VERSION = "2026.2.3"
# Requirements of the integrations that the tests use, in the versions that Home Assistant pins. It would
# install them at its first start; here they are installed in advance, and it runs with --skip-pip.
INTEGRATIONS = (
    *("paho-mqtt", "home-assistant-frontend"),
    # Of mobile_app, which imports cloud, camera and conversation.
    *("PyNaCl", "numpy", "PyTurboJPEG", "ha-ffmpeg", "av", "mutagen", "hassil", "home-assistant-intents"),
    *("pymicro-vad", "pyspeex-noise"),
)
SLOW_S = 240.0
CONFIGURATION = """
homeassistant:
  time_zone: Europe/Paris
http:
  server_host: 127.0.0.1
  server_port: {port}
frontend:
mobile_app:
automation: !include automations.yaml
logger:
  default: warning
lovelace:
  dashboards:
    hive-card:
      mode: yaml
      title: Hive
      filename: hive-card.yaml
"""


def homeassistant_tree() -> DebianTree:
    """Return the recipe: Home Assistant from PyPI in its own venv."""
    return DebianTree(
        name="homeassistant",
        suite="trixie",
        # Three requirements have no wheel for this Python: lru-dict, pymicro-vad, pyspeex-noise.
        packages=("python3", "python3-venv", "python3-dev", "g++"),
        script=f"""
            python3 -m venv /opt/homeassistant
            pip="/opt/homeassistant/bin/pip install --quiet --no-cache-dir"
            $pip homeassistant=={VERSION}
            cd /opt/homeassistant/lib/python3*/site-packages/homeassistant
            $pip --constraint package_constraints.txt {" ".join(INTEGRATIONS)}
        """,
    )


class HomeAssistant:
    """A Home Assistant with its own configuration directory and an owner account."""

    def __init__(self, files: dict[str, str]) -> None:
        """Write its configuration directory, with ``files`` (name: text) in addition to the usual ones."""
        self.tree = homeassistant_tree()
        self.tree.ensure()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="homeassistant-", dir=self.tree.path / "srv"))
        self._log = self.folder / "output.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""
        usual = {"configuration.yaml": CONFIGURATION.format(port=self.port), "automations.yaml": "[]\n"}
        for name, text in (usual | files).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @property
    def log(self) -> str:
        """Return its log so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it runs."""
        inside = f"/{self.folder.relative_to(self.tree.path)}"
        command = ["/opt/homeassistant/bin/hass", "--config", inside, "--skip-pip"]
        with self._log.open("a") as log:
            self._process = self.tree.start(command, log)
        wait_until(self._answers, "Home Assistant answers", SLOW_S)
        if self._token:
            self.wait_until_running()

    def stop(self) -> None:
        """Stop it with SIGTERM, as its service manager would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(SLOW_S)
            self._process = None

    def remove(self) -> None:
        """Kill it and remove its directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)

    def become_owner(self) -> None:
        """Complete the first onboarding step, which creates the owner and yields an access token."""
        client = f"http://127.0.0.1:{self.port}/"
        owner = {"name": "Keeper", "username": "keeper", "password": "honey", "language": "en"}
        code = self.post("/api/onboarding/users", owner | {"client_id": client})["auth_code"]
        form = urllib.parse.urlencode(
            {"grant_type": "authorization_code", "code": code, "client_id": client}
        ).encode()
        self._token = json.loads(self._ask("/auth/token", form))["access_token"]
        self.wait_until_running()

    def add_mqtt(self, port: int) -> None:
        """Set up the MQTT integration as a user does."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt"})
        answer = self.post(
            f"/api/config/config_entries/flow/{flow['flow_id']}", {"broker": "127.0.0.1", "port": port}
        )
        assert answer["type"] == "create_entry", answer

    def wait_until_running(self) -> None:
        """Wait until the start-up has finished."""
        wait_until(lambda: self.get("/api/config")["state"] == "RUNNING", "Home Assistant runs", SLOW_S)

    def states(self, hive: str) -> dict[str, str]:
        """Return the state of each entity of a hive, by entity id."""
        return {
            entity["entity_id"]: entity["state"]
            for entity in self.get("/api/states")
            if f".hivewatch_{hive}_" in entity["entity_id"]
        }

    def state(self, entity_id: str) -> dict[str, Any]:
        """Return the state document of an entity, or {} if there is no such entity."""
        try:
            found: dict[str, Any] = self.get(f"/api/states/{entity_id}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {}
        return found

    def wait_for(self, entity_id: str, state: str | Callable[[str], bool]) -> dict[str, Any]:
        """Wait until an entity's state equals or satisfies ``state``; return its state document."""
        matches = state if callable(state) else state.__eq__
        seen: list[dict[str, Any]] = [{}]

        def arrived() -> bool:
            seen.append(self.state(entity_id))
            return bool(seen[-1]) and matches(seen[-1]["state"])

        try:
            wait_until(arrived, f"{entity_id} is {state}", SLOW_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {seen[-1]}") from None
        return seen[-1]

    def get(self, path: str) -> Any:
        """Return the JSON document at ``path`` of its HTTP API."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        """Return the body of ``path`` of its HTTP API."""
        return self._ask(path)

    def post(self, path: str, document: object) -> Any:
        """Post a JSON document to ``path`` and return the answer."""
        return json.loads(self._ask(path, json.dumps(document).encode(), "application/json"))

    def command(self, **message: object) -> Any:
        """Send a command to its WebSocket API and return the result."""
        with connect(
            f"ws://127.0.0.1:{self.port}/api/websocket", max_size=None, open_timeout=SLOW_S
        ) as socket:
            json.loads(socket.recv(SLOW_S))
            socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            assert json.loads(socket.recv(SLOW_S))["type"] == "auth_ok"
            socket.send(json.dumps({"id": 1, **message}))
            answer = json.loads(socket.recv(SLOW_S))
        assert answer["success"], answer
        return answer["result"]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-4000:]
        with suppress(OSError):
            self._ask("/manifest.json")
            return True
        return False

    def _ask(self, path: str, body: bytes | None = None, content_type: str = "") -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        if content_type:
            request.add_header("Content-Type", content_type)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=SLOW_S) as answer:
            content: bytes = answer.read()
        return content
