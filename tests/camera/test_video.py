"""Video files and live streams: every complete frame once, and a clear error if there is none."""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.mjpeg_server import BITS, MjpegServer, number_of, numbered_picture

from hivewatch.camera.base import Camera
from hivewatch.camera.sources.clip import ClipCamera, RateLimit, stated_length
from hivewatch.camera.sources.opencv import to_rgb
from hivewatch.camera.sources.stream import StreamCamera
from hivewatch.camera.sources.video import public_name, video_camera
from hivewatch.config.sections import CameraConfig, VideoConfig
from hivewatch.domain.frames import Frame
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

RATE_HZ = 20
FRAMES = 30
DEADLINE_S = 60.0


def write_clip(path: Path, codec: str = "MJPG", frames: int = FRAMES) -> Path:
    """Write a clip whose frames are numbered from 0."""
    size = numbered_picture(0).shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), RATE_HZ, size)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(numbered_picture(number))
    writer.release()
    return path


def mp4_boxes(content: bytes) -> dict[bytes, bytes]:
    boxes, position = {}, 0
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        boxes[kind] = content[position : position + length]
        position += length
    return boxes


def index_first(path: Path) -> Path:
    """Move an MP4's index before its frames, as cameras do, so that a truncated file still opens."""
    boxes = mp4_boxes(path.read_bytes())
    index = bytearray(boxes[b"moov"])
    table = index.index(b"stco") + 4
    before = path.read_bytes().index(boxes[b"mdat"])
    moved = len(boxes[b"ftyp"]) + len(index) - before
    for entry in range(struct.unpack_from(">I", index, table + 4)[0]):
        position = table + 8 + 4 * entry
        struct.pack_into(">I", index, position, struct.unpack_from(">I", index, position)[0] + moved)
    path.write_bytes(boxes[b"ftyp"] + bytes(index) + boxes[b"mdat"])
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only ``share`` of a file, or of the frames of an MP4 whose index comes first."""
    content = path.read_bytes()
    start = content.index(b"mdat") if b"mdat" in content else 0
    path.write_bytes(content[: start + int((len(content) - start) * share)])
    return path


def config(source: str, *, timeout_s: float = 2.0, rate_hz: float = 100.0, **video: float) -> CameraConfig:
    """Return a configuration with short time limits."""
    limits = {"reconnect_first_s": 0.05, "reconnect_longest_s": 0.2, "give_up_after_s": 60.0, **video}
    return CameraConfig(
        kind="video",
        rate_hz=rate_hz,
        timeout_s=timeout_s,
        video=VideoConfig.model_validate({"source": source, **limits}),
    )


def clip_camera(path: Path, *, paced: bool = False) -> Camera:
    return video_camera(config(str(path)), paced=paced)


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


def play(path: Path) -> tuple[list[Frame], Camera]:
    camera = clip_camera(path)
    return list(camera.frames(threading.Event())), camera


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    server = MjpegServer().start()
    yield server
    server.hangs.clear()
    server.kill()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Return a stop event that is set after the test, or after a time limit, so that no test hangs."""
    stop = threading.Event()
    limit = threading.Timer(DEADLINE_S, stop.set)
    limit.start()
    yield stop
    limit.cancel()
    stop.set()


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG")])
def test_an_unpaced_file_yields_every_frame_once_and_in_order(tmp_path: Path, name: str, codec: str) -> None:
    frames, camera = play(write_clip(tmp_path / name, codec))
    assert numbers(frames) == list(range(FRAMES))
    assert [frame.sequence for frame in frames] == list(range(FRAMES))
    assert (camera.counts.dropped, camera.counts.bad) == (0, 0)


def test_the_times_of_a_frame_are_its_position_and_the_modification_time_plus_that(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", "mp4v")
    os.utime(path, (1_750_000_000, 1_750_000_000))
    frames, _ = play(path)
    assert [frame.monotonic_s for frame in frames] == pytest.approx([n / RATE_HZ for n in range(FRAMES)])
    assert frames[-1].taken_at == datetime.fromtimestamp(1_750_000_000, tz=UTC) + timedelta(
        seconds=frames[-1].monotonic_s
    )
    assert frames[0].source == str(path)


def test_frames_are_rgb(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    frames, _ = play(tmp_path / "a.avi")
    red, green, blue = frames[0].pixels.reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 15


def test_a_clip_from_an_upright_phone_is_rotated(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", "mp4v", frames=3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    struct.pack_into(">9i", content, matrix, 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    height_px, width_px = numbered_picture(0).shape[:2]
    frames, _ = play(path)
    assert frames[0].pixels.shape == (width_px, height_px, 3)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
@pytest.mark.parametrize("share", [0.4, 0.55, 0.9])
def test_a_truncated_file_yields_its_complete_frames_and_then_a_warning(
    tmp_path: Path,
    name: str,
    share: float,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = write_clip(tmp_path / name, "mp4v" if name == "a.mp4" else "MJPG")
    if name == "a.mp4":
        index_first(path)
    with caplog.at_level(logging.WARNING):
        frames, camera = play(cut(path, share))
    assert 0 < len(frames) < FRAMES
    assert numbers(frames) == list(range(len(frames))), "half a frame was delivered"
    assert camera.counts.bad == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is truncated or damaged: only {len(frames)} of {FRAMES} frames were read"
    ]


def test_a_file_truncated_before_its_first_frame_is_an_error(tmp_path: Path) -> None:
    path = index_first(write_clip(tmp_path / "a.mp4", "mp4v"))
    index_end = path.read_bytes().index(b"mdat") + 4
    path.write_bytes(path.read_bytes()[: index_end + 10])
    with pytest.raises(CameraError, match=r"a\.mp4"):
        play(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.jpg"])
def test_a_file_that_is_not_a_video_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.mp4":
        cut(write_clip(path, "mp4v"), 0.8)  # its index was at the end
    elif name == "a.txt":
        path.write_text("no video\n" * 1000)
    else:
        cv2.imwrite(str(path), numbered_picture(1))
    with pytest.raises(CameraError, match=name):
        play(path)


def test_a_clip_with_more_pixels_than_a_picture_may_have_is_refused_before_a_frame_is_decoded(
    tmp_path: Path,
) -> None:
    path = write_clip(tmp_path / "a.avi", frames=1)
    height_px, width_px = numbered_picture(0).shape[:2]
    content = path.read_bytes().replace(
        struct.pack("<II", width_px, height_px), struct.pack("<II", 16_000, 16_000)
    )
    path.write_bytes(
        content.replace(struct.pack(">HH", height_px, width_px), struct.pack(">HH", 16_000, 16_000))
    )
    with pytest.raises(CameraError, match=r"a\.avi is too large: 16000 x 16000 pixels"):
        play(path)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.mp4"):
        with pytest.raises(CameraError, match="must name a video"):
            play(path)


@pytest.mark.parametrize(("clip_hz", "expected"), [(25.0, 50), (30.0, 50), (24.0, 50), (5.0, 50), (2.0, 20)])
def test_a_faster_clip_is_limited_to_the_rate_and_a_slower_one_is_not(clip_hz: float, expected: int) -> None:
    limit = RateLimit(5.0)
    taken = [n / clip_hz for n in range(round(10 * clip_hz)) if limit.is_due(n / clip_hz)]
    assert len(taken) == expected


@pytest.mark.parametrize("paced", [False, True], ids=["unpaced", "paced"])
def test_a_file_yields_the_frames_a_camera_of_the_configured_rate_would_take(
    tmp_path: Path, paced: bool
) -> None:
    path = write_clip(tmp_path / "a.avi")
    camera = video_camera(config(str(path), rate_hz=5.0), paced=paced)
    frames = list(camera.frames(threading.Event()))
    every = round(RATE_HZ / 5)
    assert numbers(frames) == [frame.sequence for frame in frames] == list(range(0, FRAMES, every))
    assert [frame.monotonic_s for frame in frames] == pytest.approx(
        [n / RATE_HZ for n in range(0, FRAMES, every)]
    )
    assert camera.counts.dropped == 0, (
        "frames between those are not dropped: a camera would not have taken them"
    )


def test_the_stated_length_of_a_clip_is_in_frames_and_seconds(tmp_path: Path) -> None:
    assert stated_length(write_clip(tmp_path / "a.avi"), 5.0) == (FRAMES, FRAMES / RATE_HZ)
    (tmp_path / "text.avi").write_text("not a clip")
    assert stated_length(tmp_path / "text.avi", 5.0) == (0, 0.0)


@pytest.mark.parametrize("name", [b"h\xe4.avi", b"a:b.avi", b"h_%03d.avi", "フレロン.avi".encode()])
def test_a_clip_with_any_name_is_read_by_a_relative_path_too(
    tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    write_clip(tmp_path / "a.avi").rename(path)
    camera = ClipCamera(path, fallback_rate_hz=5.0, paced=False)
    frames = list(camera.frames(threading.Event()))
    assert numbers(frames) == list(range(FRAMES))
    assert camera.name == frames[0].source == printable(path)
    assert stated_length(path, 5.0) == (FRAMES, FRAMES / RATE_HZ)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.webm", "a.mjpg", "a.m4v"])
def test_every_kind_of_clip_is_recognised_by_its_content(tmp_path: Path, name: str) -> None:
    """Clips are opened by descriptor, so FFmpeg does not see the suffix."""
    codec = {".webm": "VP80", ".mjpg": "MJPG"}.get(Path(name).suffix, "mp4v")
    frames, _ = play(write_clip(tmp_path / name, codec))
    assert len(frames) == FRAMES


def test_a_pipe_is_not_a_clip(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.avi")
    assert stated_length(tmp_path / "a.avi", 5.0) == (0, 0.0)
    with pytest.raises(CameraError, match="not a file"):
        play(tmp_path / "a.avi")


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.mkv", "mp4v"), ("a.avi", "MJPG")])
def test_a_time_lapse_keeps_its_own_times(
    tmp_path: Path, name: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At a frame every two minutes, five frames are eight minutes of the hive, not a second."""
    size = numbered_picture(0).shape[1::-1]
    writer = cv2.VideoWriter(
        str(tmp_path / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 1 / 125, size
    )
    for number in range(5):
        writer.write(numbered_picture(number))
    writer.release()
    frames, _ = play(tmp_path / name)
    assert [frame.monotonic_s for frame in frames] == pytest.approx([125.0 * n for n in range(5)])
    assert "not believed" not in caplog.text


def test_a_jump_of_the_times_in_a_clip_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Jumping:
        def __init__(self, *arguments: object) -> None:
            self._capture = real(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self._capture, name)

        def get(self, name: int) -> float:
            value = self._capture.get(name)
            return value + 300_000 if name == cv2.CAP_PROP_POS_MSEC and value >= 500 else value

    real = cv2.VideoCapture
    path = write_clip(tmp_path / "a.avi")
    monkeypatch.setattr(cv2, "VideoCapture", Jumping)
    frames, _ = play(path)
    assert frames[-1].monotonic_s == pytest.approx((FRAMES - 1) / RATE_HZ)
    assert caplog.text.count("not believed") == 1


def test_paced_frames_are_not_early(tmp_path: Path) -> None:
    camera = clip_camera(write_clip(tmp_path / "a.avi", frames=10), paced=True)
    started_s = time.monotonic()
    for frame in camera.frames(threading.Event()):
        assert time.monotonic() - started_s >= frame.monotonic_s
    assert frame.sequence == 9


def test_paced_frames_due_while_the_consumer_is_busy_are_dropped_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.avi")
    camera = clip_camera(path, paced=True)
    delivered = []
    for frame in camera.frames(threading.Event()):
        delivered.append(frame)
        if frame.sequence == 0:
            time.sleep(10 / RATE_HZ)
    assert delivered[1].sequence >= 9
    dropped = FRAMES - len(delivered)
    assert camera.counts.dropped == dropped
    busy = "because this machine was too busy for 20 a second"
    assert caplog.messages == [f"{path}: {dropped} of {FRAMES} frames were dropped, {busy}"]


def test_a_consumer_slower_than_a_paced_clip_gets_frames_to_the_end(tmp_path: Path) -> None:
    delivered = []
    for frame in clip_camera(write_clip(tmp_path / "a.avi"), paced=True).frames(threading.Event()):
        delivered.append(frame.sequence)
        time.sleep(3 / RATE_HZ)
    assert 3 < len(delivered) < FRAMES
    assert delivered[-1] > FRAMES // 2


def test_stop_ends_a_paced_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    frames = clip_camera(write_clip(tmp_path / "a.avi"), paced=True).frames(stop)
    next(frames)
    stop.set()
    assert list(frames) == []


def test_a_stream_yields_each_frame_once_with_both_times(server: MjpegServer, stop: threading.Event) -> None:
    camera = video_camera(config(server.url), paced=True)
    before_s, before = time.monotonic(), datetime.now(UTC)
    frames = [frame for frame, _ in zip(camera.frames(stop), range(20), strict=False)]
    assert numbers(frames) == sorted(set(numbers(frames)))
    assert [frame.sequence for frame in frames] == list(range(20))
    times = [frame.monotonic_s for frame in frames]
    assert times == sorted(set(times))
    assert before_s <= times[0] <= times[-1] <= time.monotonic()
    assert before <= frames[0].taken_at <= frames[-1].taken_at <= datetime.now(UTC)


def test_a_busy_consumer_gets_the_newest_frame_and_the_others_count_as_dropped(
    server: MjpegServer, stop: threading.Event
) -> None:
    camera = video_camera(config(server.url), paced=True)
    frames = camera.frames(stop)
    first = next(frames)
    time.sleep(3.0)
    busy_until_s = time.monotonic()
    second = next(frames)
    assert second.monotonic_s > busy_until_s - 2.0, "the frame is old"
    assert camera.counts.dropped >= 5
    assert number_of(second.pixels) > number_of(first.pixels) + 5


def test_frames_are_no_faster_than_rate_hz(server: MjpegServer, stop: threading.Event) -> None:
    camera = video_camera(config(server.url, rate_hz=10), paced=True)
    frames = [frame for frame, _ in zip(camera.frames(stop), range(11), strict=False)]
    # A frame may be early after a late one, so the mean interval is bounded and not each interval.
    assert frames[-1].monotonic_s - frames[0].monotonic_s >= 9 / 10


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def recoveries_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "delivers frames again" in message]


@pytest.mark.parametrize("trouble", ["hang", "loss", "half a picture"])
def test_a_lost_stream_is_logged_once_and_recovers(
    server: MjpegServer, stop: threading.Event, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    def repair_after_the_warning() -> None:
        while not warnings_in(caplog) and not stop.wait(0.05):
            pass
        if trouble == "hang":
            server.hangs.clear()
        elif trouble == "loss":
            server.start()

    camera = video_camera(config(server.url), paced=True)
    with caplog.at_level(logging.INFO):
        frames = camera.frames(stop)
        before = after = number_of(next(frames).pixels)
        threading.Thread(target=repair_after_the_warning, daemon=True).start()
        {"hang": server.hangs.set, "loss": server.kill, "half a picture": server.breaks_mid_picture.set}[
            trouble
        ]()
        while not recoveries_in(caplog):
            after = number_of(next(frames).pixels)
    assert after > before
    assert len(warnings_in(caplog)) == 1


def test_a_stream_that_is_missing_at_the_start_is_awaited(server: MjpegServer, stop: threading.Event) -> None:
    server.kill()
    threading.Timer(1.0, server.start).start()
    assert next(video_camera(config(server.url), paced=True).frames(stop)).sequence == 0


@pytest.mark.parametrize("trouble", ["connection refused", "accepts and is silent"])
def test_a_stream_without_a_frame_for_give_up_after_s_is_an_error(
    server: MjpegServer, stop: threading.Event, trouble: str
) -> None:
    if trouble == "connection refused":
        server.kill()
    else:
        server.hangs.set()
    camera = video_camera(config(server.url, timeout_s=0.5, give_up_after_s=1.5), paced=True)
    started_s = time.monotonic()
    with pytest.raises(CameraError, match="has delivered no frame for"):
        next(camera.frames(stop))
    assert time.monotonic() - started_s >= 1.5


def test_an_unplugged_device_is_an_error_after_give_up_after_s(stop: threading.Event) -> None:
    camera = video_camera(config("/dev/video63", give_up_after_s=0.3), paced=True)
    with pytest.raises(CameraError, match="/dev/video63 has delivered no frame"):
        next(camera.frames(stop))


def test_a_number_is_a_device() -> None:
    assert video_camera(config("7"), paced=True).name == "/dev/video7"


def test_the_waits_between_attempts_grow_up_to_a_maximum(stop: threading.Event) -> None:
    attempts_s: list[float] = []

    def open_nothing() -> cv2.VideoCapture:
        attempts_s.append(time.monotonic())
        return cv2.VideoCapture()

    waits = config("x", reconnect_first_s=0.05, reconnect_longest_s=0.2, give_up_after_s=1.5)
    with pytest.raises(CameraError):
        next(StreamCamera(open_nothing, "nothing", waits).frames(stop))
    gaps_s = np.diff(attempts_s)
    assert gaps_s[0] >= 0.05
    assert gaps_s[1] >= 0.1
    assert min(gaps_s[2:]) >= 0.2


def test_stop_during_an_outage_ends_the_frames(server: MjpegServer, stop: threading.Event) -> None:
    server.kill()
    long_wait = config(server.url, reconnect_first_s=100.0, reconnect_longest_s=100.0, give_up_after_s=1000.0)
    threading.Timer(0.5, stop.set).start()
    assert list(video_camera(long_wait, paced=True).frames(stop)) == []


class HangingCapture:
    """A capture that hangs beyond OpenCV's own time-outs, as in a driver or a name lookup."""

    def __init__(self) -> None:
        self.release_hang = threading.Event()
        self.opened = 0

    def __call__(self) -> cv2.VideoCapture:
        self.opened += 1
        self.release_hang.wait()
        return cv2.VideoCapture()


@pytest.fixture
def hanging() -> Iterator[HangingCapture]:
    capture = HangingCapture()
    yield capture
    capture.release_hang.set()


def grabbers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "grabber of hanging"]


def test_a_read_that_never_returns_is_an_error_and_leaves_one_thread(
    hanging: HangingCapture, stop: threading.Event
) -> None:
    camera = StreamCamera(hanging, "hanging", config("x", timeout_s=0.1, give_up_after_s=0.5))
    with pytest.raises(CameraError, match="the previous read still hangs"):
        next(camera.frames(stop))
    assert hanging.opened == 1
    assert len(grabbers()) == 1
    hanging.release_hang.set()
    grabbers()[0].join(5)
    assert not grabbers()


def test_a_read_that_never_returns_does_not_delay_a_stop(
    hanging: HangingCapture, stop: threading.Event
) -> None:
    camera = StreamCamera(hanging, "hanging", config("x").model_copy(update={"timeout_s": 1000.0}))
    threading.Timer(0.3, stop.set).start()
    assert list(camera.frames(stop)) == []


def test_the_grabber_thread_ends_with_the_frames(server: MjpegServer, stop: threading.Event) -> None:
    camera = video_camera(config(server.url), paced=True)
    for _ in camera.frames(stop):
        stop.set()
    assert not [thread for thread in threading.enumerate() if thread.name == f"grabber of {camera.name}"]


def test_unsupported_pixels_are_an_error_and_never_a_frame(stop: threading.Event) -> None:
    class TwoChannels:
        def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
            return True

        grab = isOpened

        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, np.zeros((4, 4, 2), np.uint8)

        def get(self, _: int) -> float:
            return 4.0

        def release(self) -> None:
            pass

    odd: Callable[[], cv2.VideoCapture] = TwoChannels  # type: ignore[assignment]
    camera = StreamCamera(odd, "odd", config("x", give_up_after_s=0.3))
    with pytest.raises(CameraError, match="2 channels"):
        next(camera.frames(stop))


def test_grey_and_transparent_pictures_become_rgb() -> None:
    assert to_rgb(np.full((4, 6), 7, np.uint8)).tolist() == np.full((4, 6, 3), 7).tolist()
    assert to_rgb(np.full((4, 6, 4), (1, 2, 3, 255), np.uint8))[0, 0].tolist() == [3, 2, 1]
    with pytest.raises(ValueError, match="uint16"):
        to_rgb(np.zeros((4, 6), np.uint16))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://user:secret@hive.local:554/h264?token=secret", "rtsp://hive.local:554"),
        ("rtsp://user:se%2Fcr%40et@hive.local/stream", "rtsp://hive.local"),
        ("http://10.0.0.2/video.cgi?user=admin&pwd=sec@ret", "http://..."),
        ("http://10.0.0.2/video.cgi?user=admin&pwd=secret", "http://10.0.0.2"),
        ("rtsp://10.0.0.2/user=admin_password=secret_channel=1", "rtsp://10.0.0.2"),
        ("rtsp://[fe80::1]:554/stream", "rtsp://[fe80::1]:554"),
    ],
)
def test_the_name_of_a_stream_contains_no_secrets(url: str, name: str) -> None:
    assert public_name(url) == name
    assert video_camera(config(url), paced=True).name == name


def test_a_password_appears_neither_in_frames_nor_in_logs_nor_in_errors(
    server: MjpegServer, stop: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url.replace("http://", "http://keeper:secret@")
    with caplog.at_level(logging.DEBUG):
        frames = video_camera(config(url, give_up_after_s=1.0), paced=True).frames(stop)
        assert "secret" not in next(frames).source
        server.kill()
        with pytest.raises(CameraError) as error:
            list(frames)
    assert "secret" not in caplog.text + str(error.value)


OUTAGE = """
import sys, threading
from hivewatch.camera.sources.video import video_camera
from hivewatch.config.sections import CameraConfig, VideoConfig
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError
for source in sys.argv[1:]:
    video = VideoConfig(source=source, reconnect_first_s=0.1, reconnect_longest_s=0.1, give_up_after_s=0.5)
    camera = video_camera(CameraConfig(kind="video", timeout_s=1.0, video=video), paced=False)
    try:
        print(len(list(camera.frames(threading.Event()))))
    except CameraError:
        print("error")
"""


def test_opencv_and_ffmpeg_write_nothing_to_stderr(server: MjpegServer, tmp_path: Path) -> None:
    """Run in a process of its own, because FFmpeg reads its log level only once.

    Its lines would flood the journal.
    """
    server.kill()
    broken = cut(index_first(write_clip(tmp_path / "a.mp4", "mp4v")), 0.5)
    no_index = cut(write_clip(tmp_path / "b.mp4", "mp4v"), 0.5)
    sources = [str(broken), str(no_index), server.url, "/dev/video63"]
    done = subprocess.run(
        [sys.executable, "-c", OUTAGE, *sources], capture_output=True, text=True, timeout=60, check=True
    )
    delivered, *others = done.stdout.split()
    assert 0 < int(delivered) < FRAMES
    assert others == ["error", "error", "error"]
    # Our own warnings remain: they go to stderr because logging is not set up.
    assert {line.split()[0] for line in done.stderr.splitlines()} == {
        str(broken),
        f"{server.url[:-7]}:",
        "/dev/video63:",
    }


def test_the_numbers_in_the_test_pictures_can_be_read_back() -> None:
    assert {number_of(numbered_picture(number)) for number in range(0, 2**BITS, 37)} == set(
        range(0, 2**BITS, 37)
    )
