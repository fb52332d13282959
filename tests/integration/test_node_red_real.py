"""The flow of deploy/clients in a real Node-RED with a real broker."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.brokers import Broker, Subscriber, free_port, wait_until
from support.debian_tree import cache_folder, require_packages
from support.paths import PROJECT
from support.spoken_hive import SpokenHive

from hivewatch.domain.sightings import Phase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

FLOW = PROJECT / "deploy" / "clients" / "node-red-flow.json"
VERSION = "4.1"  # the last for Node.js 18 and 20, which Debian has
SLOW_S = 120.0


def node_red() -> Path:
    """Return the script that starts Node-RED; install it from npm if it is not in the cache."""
    if shutil.which("npm") is None:
        require_packages("nodejs", "npm")
    folder = cache_folder() / f"node-red-{VERSION.partition('.')[0]}"
    script = folder / "node_modules" / "node-red" / "red.js"
    if not script.exists():
        folder.mkdir(exist_ok=True)
        command = ["npm", "install", "--no-fund", "--no-audit", "--omit=dev", f"node-red@{VERSION}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=1200)
    return script


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Return the address of a Node-RED without flows."""
    port = free_port()
    settings = tmp_path / "settings.js"
    settings.write_text(f"module.exports = {{uiHost: '127.0.0.1', uiPort: {port}, flowFile: 'flows.json'}}\n")
    log = tmp_path / "node-red.log"
    command = ["node", str(node_red()), "--userDir", str(tmp_path), "--settings", str(settings)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(OSError):
            ask(f"http://127.0.0.1:{port}/settings")
            return True
        return False

    try:
        wait_until(answers, "Node-RED answers", SLOW_S)
        yield f"http://127.0.0.1:{port}"
        print(log.read_text())
    finally:
        process.kill()
        process.wait()


def ask(address: str, document: object = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SLOW_S) as answer:
        return json.loads(answer.read() or b"null")


def test_the_flow_reports_each_visit_once(address: str, broker: Broker) -> None:
    flow = json.loads(FLOW.read_text().replace('"1883"', f'"{broker.port}"'))
    ask(f"{address}/flows", flow)
    assert {node["id"] for node in ask(f"{address}/flows")} == {node["id"] for node in flow}
    with SpokenHive(broker.port, "a") as hive, Subscriber(broker.port) as subscriber:

        def has_reported() -> bool:
            hive.visit("first", [Phase.START])
            return bool(subscriber.on("a")[:1])

        wait_until(has_reported, "the flow reports a visit", SLOW_S)
        for sighting_id in ("v1", "v1", "v2"):
            hive.visit(sighting_id)
        wait_until(lambda: len(subscriber.on("a")) >= 3, "the flow reports the last visit", SLOW_S)
        alarms = [m for m in subscriber.received if m.topic == "hivewatch-alarm/a"]
    assert len(alarms) == 3
    assert all(message.payload.startswith(b"Hornet at Hive a, ") for message in alarms)
    assert all(message.payload.endswith(b"score 90 %") for message in alarms)
