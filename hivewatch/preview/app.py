"""Runs the preview: serves the camera's frames with what hivewatch detects in them, to help with setup."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from hivewatch.camera.devices import camera_devices
from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.daemon.app import make_classifier, set_log_level
from hivewatch.errors import CameraError
from hivewatch.preview.latest import LatestFrames
from hivewatch.preview.previewer import Previewer
from hivewatch.preview.server import serve
from hivewatch.store.disk import is_locked
from hivewatch.system.stopwatch import Stopwatch

__all__ = ["run"]

# Fast enough to focus a lens by hand, and it leaves a Raspberry Pi some time for other work.
_MAX_RATE_HZ = 4.0


def run(
    path: Path,
    stop: threading.Event,
    address: tuple[str, int],
    token: str | None,
    on_url: Callable[[str], None],
) -> None:
    """Serve the page until ``stop`` is set or a clip ends; ``on_url`` is called with its URL.

    Stores nothing and sends no alerts. Raises ConfigError, also if the address cannot be listened on,
    CameraError and ModelError.
    """
    config = load(path)
    set_log_level(config)
    _require_free_camera(config)
    stopwatch = Stopwatch()
    previewer = Previewer(config, make_classifier(config, stopwatch), stopwatch)
    latest = LatestFrames()
    with serve(latest, address, token) as url:
        on_url(url)
        _preview(config, stop, previewer, latest)


def _preview(config: Config, stop: threading.Event, previewer: Previewer, latest: LatestFrames) -> None:
    supervisor = Supervisor(config.camera)
    shown_s = float("-inf")
    for frame in supervisor.frames(stop, on_status=latest.set_camera_status):
        if latest.has_viewers() and frame.monotonic_s - shown_s >= 1 / _MAX_RATE_HZ:
            shown_s = frame.monotonic_s
            latest.add(previewer.inspect(frame, latest.count))


def _require_free_camera(config: Config) -> None:
    if camera_devices(config.camera) and is_locked(config.store.directory):
        raise CameraError(
            "the running hivewatch is using the camera: `sudo systemctl stop hivewatch` first,"
            " and `sudo systemctl start hivewatch` afterwards"
        )
