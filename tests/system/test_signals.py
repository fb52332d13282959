"""The daemon stops within five seconds, exit code 0, whatever it is in the middle of."""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import pytest
import torch
from support.brokers import Broker, Proxy, Subscriber, wait_until
from support.daemons import Daemon
from support.fakes import make_pixels
from torch import Tensor, nn

from hivewatch.store import Store
from hivewatch.vision.model_file import DESCRIPTION_FILE

pytestmark = pytest.mark.slow

# The daemon's own limit is 4.5 s; a busy machine takes a while to notice that a process has ended.
STOP_S = 10.0


def mqtt(port: int) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": port, "reconnect_longest_s": 1}


def assert_stops(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(STOP_S) == 0
    assert "Traceback" not in daemon.log


def takes_signals(daemon: Daemon) -> bool:
    """Return whether the daemon already waits for signals."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (blocked,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")]
    return bool(int(blocked, 16) >> (signal.SIGTERM - 1) & 1)


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


class SlowGraph(nn.Module):
    """Returns a score and a map after minutes, but at once for the frame it is checked with."""

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply for minutes."""
        x = torch.full((64, 64), 0.01)
        if frame.shape[0] > 64:
            for _ in range(100_000_000):
                x = (x @ x).clamp(0.01, 0.02)
        cam = torch.zeros(frame.shape[0] // 32, frame.shape[1] // 32)
        return x.mean(), cam


def slow_model(path: Path, like: Path) -> Path:
    """Write a model file whose forward pass takes minutes, with the description of another."""
    with zipfile.ZipFile(like) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(f"/extra/{DESCRIPTION_FILE}")]
        description = archive.read(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        torch.jit.save(torch.jit.script(SlowGraph()), path, _extra_files={DESCRIPTION_FILE: description})  # type: ignore[no-untyped-call]
    return path


def test_a_broker_that_accepts_and_never_answers_does_not_delay_a_stop(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    with silent_server() as port, Daemon(tmp_path, tiny_model_path, mqtt=mqtt(port)) as daemon:
        daemon.wait_for_log("start, best score")
        assert_stops(daemon)
    with Store(daemon.store) as store:
        assert [sighting.phase for sighting in store.sightings(10)] == ["end"]


def test_a_broker_that_acknowledges_nothing_does_not_delay_a_stop_and_loses_nothing(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    proxy = Proxy(broker.port).open()
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, mqtt=mqtt(proxy.port)) as daemon,
    ):
        wait_until(lambda: bool(subscriber.on("event")), "an event arrives", 60)
        proxy.swallow_answers = True
        assert_stops(daemon)
        wait_until(lambda: subscriber.on("availability")[-1] == b"offline", "offline arrives")
    proxy.close()
    with Store(daemon.store) as store:
        assert [sighting.phase for sighting in store.sightings(10)] == ["end"]


def test_a_forward_pass_that_takes_minutes_does_not_delay_a_stop(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    model = slow_model(tmp_path / "slow.pt", tiny_model_path)
    with Daemon(tmp_path, model) as daemon:
        wait_until(lambda: cpu_s(daemon.process.pid) > 4, "the forward pass runs", 60)
        assert_stops(daemon)
    assert "exiting now" in daemon.log


def cpu_s(pid: int) -> float:
    """Return the processor time of the process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_read_that_hangs_does_not_delay_a_stop_and_the_sighting_stays(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.jpg"), make_pixels(320, 240))
    os.mkfifo(pictures / "2.jpg")
    camera = {"kind": "folder", "folder": {"path": str(pictures)}}
    with Daemon(tmp_path, tiny_model_path, camera=camera) as daemon:
        daemon.wait_for_log("start, best score")
        assert_stops(daemon)
    with Store(daemon.store) as store:
        assert len(store.sightings(10)) == 1


def test_a_stop_during_start_up_is_obeyed(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        wait_until(lambda: takes_signals(daemon), "it waits for signals")
        assert_stops(daemon)
    assert "start, best score" not in daemon.log


def test_a_stop_during_a_reload_is_obeyed(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        daemon.wait_for_log("start, best score")
        for _ in range(20):
            daemon.signal(signal.SIGHUP)
        assert_stops(daemon)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_disturb_a_stop(
    tmp_path: Path, tiny_model_path: Path, second: signal.Signals
) -> None:
    with silent_server() as port, Daemon(tmp_path, tiny_model_path, mqtt=mqtt(port)) as daemon:
        daemon.wait_for_log("start, best score")
        daemon.signal(signal.SIGTERM)
        daemon.signal(second)
        assert daemon.process.wait(STOP_S) == 0
    with Store(daemon.store) as store:
        assert [sighting.phase for sighting in store.sightings(10)] == ["end"]
