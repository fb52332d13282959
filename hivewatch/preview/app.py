"""The live picture on a page, with what hivewatch makes of it: where to point the camera, and is it sharp?"""

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
from hivewatch.preview.board import Board
from hivewatch.preview.look import Looker
from hivewatch.preview.server import serve
from hivewatch.store.disk import is_locked
from hivewatch.system.stopwatch import Stopwatch

__all__ = ["run"]

# A hand that turns a lens follows no more pictures a second, and a Raspberry Pi has other things to do.
_MOST_HZ = 4.0


def run(
    path: Path,
    stop: threading.Event,
    address: tuple[str, int],
    token: str | None,
    tell: Callable[[str], None],
) -> None:
    """Serve the page until ``stop`` is set or a film ends; ``tell`` is given its URL.

    Nothing is kept and nobody is alerted. Raises ConfigError, also where the address cannot be listened on,
    CameraError and ModelError.
    """
    config = load(path)
    set_log_level(config)
    _refuse_a_camera_in_use(config)
    stopwatch = Stopwatch()
    looker = Looker(config, make_classifier(config, stopwatch), stopwatch)
    board = Board()
    with serve(board, address, token) as url:
        tell(url)
        _watch(config, stop, looker, board)


def _watch(config: Config, stop: threading.Event, looker: Looker, board: Board) -> None:
    supervisor = Supervisor(config.camera)
    shown_s = float("-inf")
    for frame in supervisor.frames(stop, on_status=board.tell):
        if board.is_watched() and frame.monotonic_s - shown_s >= 1 / _MOST_HZ:
            shown_s = frame.monotonic_s
            board.show(looker.look(frame, board.pictures))


def _refuse_a_camera_in_use(config: Config) -> None:
    if camera_devices(config.camera) and is_locked(config.store.directory):
        raise CameraError(
            "hivewatch runs and has the camera: `sudo systemctl stop hivewatch` first, and `start` afterwards"
        )
