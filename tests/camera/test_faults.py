"""The whole daemon with a real broker and a real network camera that fails in every way."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.brokers import Broker, wait_until
from support.camera_trials import FAULTS, broken, entrance, frozen, open_site, try_fault

from hivewatch.messages.documents import schema

pytestmark = pytest.mark.slow


def test_a_subscriber_learns_of_every_camera_fault_and_of_its_end(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with open_site(tmp_path, tiny_model_path, broker) as site:
        for fault in FAULTS:
            assert try_fault(site, fault, runs=1).problems == []
        assert ", attempt 1 of" in site.daemon.log, "a stuck camera is reopened"
        assert site.daemon.stop() == 0
        for document in site.documents:
            Draft202012Validator(schema("camera_status")).validate(document)


def test_an_open_sighting_ends_with_the_camera_and_new_ones_start_after_its_recovery(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with open_site(tmp_path, tiny_model_path, broker) as site:

        def last_event_is(phase: bytes) -> bool:
            events = site.subscriber.on("event")
            return bool(events) and b'"event_type":"%s"' % phase in events[-1]

        wait_until(lambda: last_event_is(b"start") or last_event_is(b"update"), "a sighting is open")
        site.server.hangs.set()
        wait_until(lambda: last_event_is(b"end"), "it ends")
        site.server.hangs.clear()
        wait_until(lambda: last_event_is(b"start") or last_event_is(b"update"), "another one starts")


def test_the_daemon_survives_damaged_pictures_of_a_network_camera(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with open_site(tmp_path, tiny_model_path, broker) as site:
        site.server.picture = broken
        sent = site.server.sent
        wait_until(lambda: site.server.sent > sent + 40, "damaged pictures are sent")
        site.server.picture = entrance
        site.wait_for("online")
        assert site.daemon.stop() == 0
        assert "Traceback" not in site.daemon.log


def test_a_camera_that_stays_frozen_ends_the_daemon_with_exit_code_4_and_stays_offline(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with open_site(tmp_path, tiny_model_path, broker, reopenings=2) as site:
        site.server.picture = frozen
        assert site.daemon.process.wait(60) == 4
        log = site.daemon.log
        assert "the same picture repeats, although it was reopened 2 times" in log
        assert "Traceback" not in log
        site.wait_for("offline", "repeating")
        assert site.subscriber.on("availability")[-1] == b"offline"
