"""Notifications to systemd, on a real notification socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hivewatch.system import systemd


@pytest.fixture
def notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def received(listener: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in listener.recv(4096).decode().splitlines())


def test_ready_carries_the_status(notifications: socket.socket) -> None:
    systemd.ready("watching")
    assert received(notifications) == {"READY": "1", "STATUS": "watching"}


def test_the_watchdog_is_fed(notifications: socket.socket) -> None:
    systemd.feed_watchdog("watching")
    assert received(notifications)["WATCHDOG"] == "1"


def test_a_reload_carries_its_time_in_microseconds(notifications: socket.socket) -> None:
    systemd.reloading()
    message = received(notifications)
    assert message["RELOADING"] == "1"
    assert int(message["MONOTONIC_USEC"]) > 0


def test_stopping_is_reported(notifications: socket.socket) -> None:
    systemd.stopping()
    assert received(notifications) == {"STOPPING": "1"}


def test_outside_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.ready("watching")


@pytest.mark.parametrize(
    ("address", "reason"),
    [("", "it is empty"), ("nonsense", "Invalid argument"), ("/nowhere", "No such file")],
)
def test_a_socket_that_cannot_be_notified_is_one_warning_and_watching_goes_on(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed")
    systemd._warn.cache_clear()
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.ready("watching")
    systemd.feed_watchdog("watching")
    (warning,) = caplog.messages
    assert warning.startswith(f"systemd cannot be notified at $NOTIFY_SOCKET={address}: ")
    assert reason in warning


def test_without_a_journal_on_stderr_there_is_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert systemd.journal_handler() is None
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")  # inherited from a parent with another stderr
    assert systemd.journal_handler() is None
