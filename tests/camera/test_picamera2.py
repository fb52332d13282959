"""Picamera2Camera when picamera2 fails or misbehaves; tests/integration runs it on the real picamera2."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hivewatch.camera.sources.picamera2 import Picamera2Camera
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame, Pixels
from hivewatch.errors import CameraError

WIDTH_PX, HEIGHT_PX = 80, 64
RATE_HZ = 10.0
INTERVAL_S = 1 / RATE_HZ


@dataclass
class FakeRequest:
    """A completed request; ``taken_s`` is on the clock of time.monotonic()."""

    taken_s: float
    number: int
    buffer: Pixels = field(default_factory=lambda: np.zeros(WIDTH_PX * HEIGHT_PX * 3, np.uint8))
    metadata: dict[str, Any] | None = None
    unreadable: bool = False
    released: int = 0

    @property
    def request(self) -> SimpleNamespace:
        return SimpleNamespace(sequence=self.number)

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": round(self.taken_s * 1e9)} if self.metadata is None else self.metadata

    def make_buffer(self, name: str) -> Pixels:
        assert name == "main"
        if self.unreadable:
            raise RuntimeError("failed to find buffer")
        return self.buffer.copy()

    def release(self) -> None:
        self.released += 1


@dataclass
class FakePicamera2:
    """The part of picamera2.Picamera2 that hivewatch uses; delivers ``requests``, then none."""

    requests: list[FakeRequest] = field(default_factory=list)
    pixel_format: str = "BGR888"
    rotates: bool = True
    controls: tuple[str, ...] = ("FrameDurationLimits",)
    cameras: tuple[str, ...] = ("imx708",)
    open_error: Exception | None = None
    start_error: Exception | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    closed: int = 0

    def __call__(self, index: int) -> FakePicamera2:
        self.opened.append(index)
        if self.open_error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.open_error
        return self

    def global_camera_info(self) -> list[dict[str, str]]:
        return [{"Model": model, "Id": f"/base/{model}"} for model in self.cameras]

    @property
    def camera_controls(self) -> dict[str, tuple[int, int, int]]:
        return dict.fromkeys(self.controls, (100, 1_000_000_000, 33_333))

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, asked: dict[str, Any]) -> None:
        self.asked = asked

    def camera_configuration(self) -> dict[str, Any]:
        main = {"format": self.pixel_format, "size": (WIDTH_PX, HEIGHT_PX), "stride": WIDTH_PX * 3}
        return {"main": main, "transform": self.asked["transform"] if self.rotates else (0, 0)}

    def start(self) -> None:
        if self.start_error:
            raise self.start_error

    def capture_request(self, wait: bool) -> Future[FakeRequest]:
        assert wait is False, "a job must be awaited in slices, so that it is not lost"
        job: Future[FakeRequest] = Future()
        if self.requests:
            job.set_result(self.requests.pop(0))
        return job

    def wait(self, job: Future[FakeRequest], timeout: float) -> FakeRequest:
        return job.result(timeout)

    def cancel_all_and_flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakePicamera2]:
    """Return a function that installs a FakePicamera2 as the module ``picamera2``."""

    def install_fake(**options: Any) -> FakePicamera2:
        fake = FakePicamera2(**options)
        libcamera: Any = ModuleType("libcamera")
        libcamera.Transform = lambda hflip, vflip: (hflip, vflip)
        libcamera.ColorSpace = SimpleNamespace(Smpte170m=lambda: "BT.601, limited range")
        picamera2: Any = ModuleType("picamera2")
        picamera2.Picamera2 = fake
        monkeypatch.setitem(sys.modules, "libcamera", libcamera)
        monkeypatch.setitem(sys.modules, "picamera2", picamera2)
        return fake

    return install_fake


def camera(**options: Any) -> Picamera2Camera:
    return Picamera2Camera(
        CameraConfig.model_validate(
            {"kind": "picamera2", "width_px": WIDTH_PX, "height_px": HEIGHT_PX, "rate_hz": RATE_HZ}
            | {"timeout_s": 0.3}
            | options
        )
    )


def frames_of(source: Picamera2Camera) -> Iterator[Frame]:
    return source.frames(threading.Event())


def take(source: Picamera2Camera, count: int) -> list[Frame]:
    """Return ``count`` frames and close the camera."""
    frames = frames_of(source)
    taken = list(islice(frames, count))
    frames.close()  # type: ignore[attr-defined]
    return taken


def test_the_error_for_missing_packages_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcamera", None)
    with pytest.raises(CameraError, match=r"cannot be loaded.*apt install python3-picamera2.*--system-site"):
        next(frames_of(camera()))


def test_nothing_is_opened_before_the_first_frame(install: Callable[..., FakePicamera2]) -> None:
    fake = install()
    camera().frames(threading.Event())
    assert fake.opened == []


@pytest.mark.parametrize(
    ("cameras", "seen"),
    [((), "none at all"), (("imx708",), "only imx708"), (("imx708", "ov5647"), "only imx")],
)
def test_a_missing_camera_is_an_error_that_lists_the_existing_ones(
    install: Callable[..., FakePicamera2], cameras: tuple[str, ...], seen: str
) -> None:
    fake = install(cameras=cameras)
    with pytest.raises(CameraError, match=f"no camera number 2: libcamera sees {seen}.*list-cameras"):
        next(frames_of(camera(picamera2={"index": 2})))
    assert fake.opened == []


def test_the_error_for_a_camera_in_use_names_the_root_cause(install: Callable[..., FakePicamera2]) -> None:
    install(open_error=RuntimeError("Failed to acquire camera: Device or resource busy"))
    with pytest.raises(
        CameraError, match=r"cannot be opened: Failed to acquire.*busy\. Another program has it"
    ):
        next(frames_of(camera()))


def test_a_camera_that_fails_to_start_is_closed(install: Callable[..., FakePicamera2]) -> None:
    fake = install(start_error=OSError("no memory for buffers"))
    with pytest.raises(CameraError, match=r"picamera2:0 cannot be started: no memory for buffers\."):
        next(frames_of(camera()))
    assert fake.closed == 1


def test_size_rate_and_rotation_are_requested(install: Callable[..., FakePicamera2]) -> None:
    fake = install(requests=[FakeRequest(time.monotonic(), 0)])
    take(camera(picamera2={"rotate_180": True}), 1)
    assert fake.asked["main"] == {"size": (WIDTH_PX, HEIGHT_PX), "format": "BGR888"}
    assert fake.asked["controls"] == {"FrameDurationLimits": (100_000, 100_000)}
    assert fake.asked["transform"] == (True, True)


def test_no_frame_duration_is_requested_from_a_camera_without_that_control(
    install: Callable[..., FakePicamera2],
) -> None:
    fake = install(controls=(), requests=[FakeRequest(time.monotonic(), 0)])
    take(camera(), 1)
    assert fake.asked["controls"] == {}


@pytest.mark.parametrize("rotates", [True, False])
def test_pictures_are_rotated_in_software_if_the_camera_cannot(
    install: Callable[..., FakePicamera2], rotates: bool
) -> None:
    picture = np.arange(WIDTH_PX * HEIGHT_PX * 3, dtype=np.uint32).astype(np.uint8)
    install(rotates=rotates, requests=[FakeRequest(time.monotonic(), 0, picture)])
    [frame] = take(camera(picamera2={"rotate_180": True}), 1)
    expected = picture.reshape(HEIGHT_PX, WIDTH_PX, 3)
    np.testing.assert_array_equal(frame.pixels, expected if rotates else expected[::-1, ::-1])


def test_an_unsupported_format_is_an_error_and_closes_the_camera(
    install: Callable[..., FakePicamera2],
) -> None:
    request = FakeRequest(time.monotonic(), 0)
    fake = install(pixel_format="SRGGB10_CSI2P", requests=[request])
    with pytest.raises(CameraError, match="SRGGB10_CSI2P"):
        next(frames_of(camera()))
    assert (request.released, fake.closed) == (1, 1)


def test_a_buffer_that_cannot_be_read_is_released(install: Callable[..., FakePicamera2]) -> None:
    request = FakeRequest(time.monotonic(), 0, unreadable=True)
    fake = install(requests=[request])
    with pytest.raises(CameraError, match="failed while capturing: failed to find buffer"):
        next(frames_of(camera()))
    assert (request.released, fake.closed) == (1, 1)


def test_a_missing_frame_is_an_error_and_closes_the_camera(install: Callable[..., FakePicamera2]) -> None:
    request = FakeRequest(time.monotonic(), 0)
    fake = install(requests=[request])
    frames = frames_of(camera())
    assert next(frames).sequence == 0
    assert request.released == 1, "the buffer is released before the frame is processed"
    with pytest.raises(
        CameraError, match=r"no fresh frame from picamera2:0 within 0.3 s\. Check that the cable"
    ):
        next(frames)
    assert fake.closed == 1


def test_stale_frames_are_skipped_and_released(install: Callable[..., FakePicamera2]) -> None:
    now_s = time.monotonic()
    old = [FakeRequest(now_s - 60, 0), FakeRequest(now_s - 59.9, 1)]
    install(requests=[*old, FakeRequest(now_s, 2)])
    [frame] = take(camera(), 1)
    assert frame.monotonic_s == pytest.approx(now_s)
    assert frame.sequence == 0
    assert [request.released for request in old] == [1, 1]


def test_a_camera_with_only_stale_frames_is_an_error(install: Callable[..., FakePicamera2]) -> None:
    install(requests=[FakeRequest(time.monotonic() - 60, number) for number in range(3)])
    with pytest.raises(CameraError, match="no fresh frame"):
        next(frames_of(camera()))


@pytest.mark.parametrize(
    ("elapsed", "numbers", "dropped"),
    [
        pytest.param(1, (7, 8), 0, id="no frame is missing"),
        pytest.param(4, (7, 11), 3, id="the consumer was slow"),
        pytest.param(4, (7, 8), 0, id="the camera is slower than requested"),
        pytest.param(1, (7, 13), 0, id="the camera is faster than requested"),
    ],
)
def test_frames_count_as_dropped_if_they_were_completed_and_due(
    install: Callable[..., FakePicamera2], elapsed: int, numbers: tuple[int, int], dropped: int
) -> None:
    now_s = time.monotonic()
    first, second = numbers
    install(requests=[FakeRequest(now_s - elapsed * INTERVAL_S, first), FakeRequest(now_s, second)])
    source = camera()
    assert [frame.sequence for frame in take(source, 2)] == [0, 1]
    assert source.counts.dropped == dropped


def test_early_frames_are_skipped(install: Callable[..., FakePicamera2]) -> None:
    started_s = time.monotonic() - 0.5
    fast = [FakeRequest(started_s + number * INTERVAL_S / 4, number) for number in range(9)]
    install(requests=list(fast))
    frames = take(camera(), 3)
    assert [frame.monotonic_s for frame in frames] == pytest.approx(
        [started_s, started_s + INTERVAL_S, started_s + 2 * INTERVAL_S]
    )
    assert [request.released for request in fast] == [1] * 9


def test_the_times_of_a_frame_are_those_of_its_exposure(install: Callable[..., FakePicamera2]) -> None:
    taken_s = time.monotonic() - 0.4
    install(requests=[FakeRequest(taken_s, 0)])
    earliest = datetime.now(UTC) - timedelta(seconds=time.monotonic() - taken_s + 0.001)
    [frame] = take(camera(), 1)
    latest = datetime.now(UTC) - timedelta(seconds=time.monotonic() - taken_s - 0.001)
    assert frame.monotonic_s == pytest.approx(taken_s, abs=1e-6)
    assert earliest <= frame.taken_at <= latest


def test_timestamps_of_the_boot_time_clock_are_converted(
    install: Callable[..., FakePicamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour of suspension, the boot time clock is an hour ahead."""
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: time.monotonic_ns() + 3_600_000_000_000)
    taken_s = time.monotonic() - 0.4
    install(requests=[FakeRequest(taken_s + 3600, 0)])
    [frame] = take(camera(), 1)
    assert frame.monotonic_s == pytest.approx(taken_s, abs=10)


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        pytest.param({}, "no SensorTimestamp", id="no timestamp"),
        pytest.param(
            {"SensorTimestamp": 2**62}, "ahead of this machine's clock", id="timestamp of an unknown clock"
        ),
    ],
)
def test_a_camera_without_usable_timestamps_is_an_error(
    install: Callable[..., FakePicamera2], metadata: dict[str, int], fault: str
) -> None:
    request = FakeRequest(0, 0, metadata=metadata)
    fake = install(requests=[request])
    with pytest.raises(CameraError, match=fault):
        next(frames_of(camera()))
    assert (request.released, fake.closed) == (1, 1)


def test_stop_ends_a_wait_before_its_time_limit(install: Callable[..., FakePicamera2]) -> None:
    fake = install()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started_s = time.monotonic()
    assert list(camera(timeout_s=60).frames(stop)) == []
    assert time.monotonic() - started_s < 30
    assert fake.closed == 1


def test_closing_the_generator_closes_the_camera(install: Callable[..., FakePicamera2]) -> None:
    fake = install(requests=[FakeRequest(time.monotonic(), 0)])
    frames = frames_of(camera())
    next(frames)
    assert fake.closed == 0
    frames.close()  # type: ignore[attr-defined]
    assert fake.closed == 1


def test_an_error_while_closing_does_not_hide_why_the_camera_was_closed(
    install: Callable[..., FakePicamera2], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing_close() -> None:
        raise RuntimeError("Failed to release camera")

    fake = install()
    monkeypatch.setattr(fake, "close", failing_close)
    with pytest.raises(CameraError, match="no fresh frame"):
        next(frames_of(camera()))
    assert "did not close cleanly: Failed to release camera" in caplog.text
