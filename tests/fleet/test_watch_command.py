"""`hivewatch watch`: a fleet in the terminal, with a real broker."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from support.brokers import Broker, free_port, wait_until
from support.spoken_hive import SpokenHive

from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.fleet.hives import Fleet
from hivewatch.fleet.view import Lines, Screen

NOW = datetime(2026, 9, 14, 12, 0, 0, tzinfo=UTC)
SLOW_S = 60.0


def command(port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "hivewatch", "watch", "127.0.0.1", "--port", str(port), *options]


def enable_sigint() -> None:
    """Restore SIGINT's default: a shell ignores it in what it runs in the background, such as these tests."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def watching(tmp_path: Path, port: int, *options: str) -> Iterator[Path]:
    """Run the command with its output in a file; yield the file."""
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            command(port, *options), stdout=file, stderr=file, preexec_fn=enable_sigint
        )
    try:
        yield output
        assert process.poll() is None, output.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(SLOW_S) == 130
    finally:
        process.kill()
        process.wait()


def wait_for_line(output: Path, pattern: str) -> None:
    wait_until(
        lambda: re.search(pattern, output.read_text(), re.MULTILINE) is not None,
        f"a line like {pattern!r} in {output.read_text()!r}",
        SLOW_S,
    )


@pytest.mark.slow
def test_a_pipe_gets_a_line_for_each_change_of_each_hive(tmp_path: Path, broker: Broker) -> None:
    with SpokenHive(broker.port, "a"), watching(tmp_path, broker.port) as output:
        wait_for_line(
            output, r"^20\S+Z a 'Hive a': daemon online, camera online, hornet none, today 0, pressure green$"
        )
        with SpokenHive(broker.port, "b") as second:
            wait_for_line(output, r" b .*daemon online.*hornet none")
            second.visit("v1", [Phase.START])
            wait_for_line(output, r" b .*hornet HORNET")
            second.pressure(sightings_today=1, level="amber")
            wait_for_line(output, r" b .*today 1, pressure amber")
            second.break_off()
            wait_for_line(output, r" b .*daemon offline, camera -, hornet -, today 1, pressure -")
        lines = output.read_text().splitlines()
        assert not any(one.split(" ", 1)[1] == two.split(" ", 1)[1] for one, two in pairwise(lines))


@pytest.mark.slow
def test_a_lost_broker_leaves_no_hive_online(tmp_path: Path, broker: Broker) -> None:
    with SpokenHive(broker.port, "a"), watching(tmp_path, broker.port) as output:
        wait_for_line(output, "daemon online")
        broker.kill()
        wait_for_line(output, r"Z no connection: ")
        broker.start()
        wait_for_line(output, r"Z reconnected$")


@pytest.mark.slow
def test_a_terminal_gets_a_table_that_is_redrawn(broker: Broker) -> None:
    with SpokenHive(broker.port, "a"):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command(broker.port), stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while not re.search(rb"1 of 1 hives online.*\n.*PRESSURE\s+a +Hive a +online", seen):
                seen += os.read(ours, 4096)
                assert len(seen) < 1_000_000, seen[-2000:]
            assert b"\x1b[H\x1b[J" in seen
        finally:
            process.kill()
            process.wait()
            os.close(ours)


@pytest.mark.slow
def test_a_missing_broker_is_reported_at_once() -> None:
    done = subprocess.run(command(free_port()), capture_output=True, text=True, timeout=SLOW_S, check=False)
    assert done.returncode == 7
    assert "nothing listens on that port" in done.stderr


@pytest.mark.slow
def test_a_wrong_password_is_reported_at_once(tmp_path: Path) -> None:
    broker = Broker(tmp_path, password="honey").start()
    (tmp_path / "word").write_text("vinegar\n")
    options = ("--username", "hive", "--password-file", str(tmp_path / "word"))
    done = subprocess.run(
        command(broker.port, *options), capture_output=True, text=True, timeout=SLOW_S, check=False
    )
    broker.kill()
    assert done.returncode == 7
    assert "refuses the connection" in done.stderr


def test_invalid_options_are_reported_by_their_names() -> None:
    done = subprocess.run(
        command(70_000, "--base-topic", "a/#"), capture_output=True, text=True, timeout=SLOW_S, check=False
    )
    assert done.returncode == 3
    assert "--port" in done.stderr
    assert "--base-topic" in done.stderr


def online_fleet(*hives: str) -> Fleet:
    fleet = Fleet("hivewatch")
    for hive in hives:
        fleet.on_message(Message(f"hivewatch/{hive}/availability", b"online", retained=True))
    return fleet


def test_a_screen_is_redrawn_at_most_twice_a_second() -> None:
    screen = Screen(online_fleet("a"), "broker:1883")
    assert screen.text("", NOW, 80, 24)
    assert screen.text("", NOW + timedelta(milliseconds=100), 80, 24) == ""
    assert screen.text("", NOW + timedelta(seconds=1), 80, 24)


def test_a_fleet_larger_than_the_screen_says_how_many_hives_are_hidden() -> None:
    screen = Screen(online_fleet(*(f"hive{number:03}" for number in range(100))), "broker:1883")
    lines = screen.text("", NOW, 80, 24).splitlines()
    assert len(lines) == 23
    assert "... and 80 more hives" in lines[-1]
    shown = [line for line in lines if line.startswith("hive")]
    assert len(shown) + 80 == 100


def test_a_hive_with_a_hornet_is_highlighted() -> None:
    fleet = online_fleet("a", "b")
    fleet.on_message(Message("hivewatch/b/hornet/state", b"ON", retained=True))
    highlighted = [
        line
        for line in Screen(fleet, "broker:1883").text("", NOW, 80, 24).splitlines()
        if "\x1b[1;7m" in line
    ]
    assert len(highlighted) == 1
    assert "b " in highlighted[0]


def test_the_age_of_the_last_frame_alone_makes_no_line() -> None:
    fleet = online_fleet("a")
    lines = Lines(fleet)
    assert lines.text("", NOW)
    assert lines.text("", NOW + timedelta(minutes=5)) == ""
