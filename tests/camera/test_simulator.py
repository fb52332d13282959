"""The simulator: repeatable pictures, correct truth boxes, and pacing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from hivewatch.camera.simulator.actors import Bee
from hivewatch.camera.simulator.animals import HORNETS, PHASES, SpriteKind, draw
from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.camera.simulator.tracks import Site
from hivewatch.config.sections import SimulatorConfig
from hivewatch.domain.frames import Box, Frame

NEVER_S = 86_400.0  # the first visit is hours away


def unpaced(
    seed: int = 1, size: tuple[int, int] = (320, 180), rate_hz: float = 2.0, **options: float
) -> Iterator[Frame]:
    config = SimulatorConfig(seed=seed, **options)  # type: ignore[arg-type]
    return SimulatorCamera(config, *size, rate_hz, paced=False).frames(threading.Event())


def orange(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the mask of the orange of a hornet's fourth segment, face and leg tips."""
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return (red > 90) & (red > 1.25 * green) & (green > 1.4 * blue)


def warmth(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int_]:
    """Return red minus blue: shadows and smoky wings lower it, a hornet's orange raises it."""
    return np.subtract(pixels[..., 0], pixels[..., 2], dtype=int)


def covered(boxes: tuple[Box, ...], width_px: int, height_px: int, border_px: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((height_px, width_px), bool)
    for box in boxes:
        x0, y0, x1, y1 = box.pixels(width_px, height_px)
        mask[max(0, y0 - border_px) : y1 + border_px + 1, max(0, x0 - border_px) : x1 + border_px + 1] = True
    return mask


def test_the_same_seed_gives_identical_frames() -> None:
    for one, other in itertools.islice(zip(unpaced(7), unpaced(7), strict=True), 30):
        assert np.array_equal(one.pixels, other.pixels)
        assert (one.truth, one.taken_at, one.monotonic_s) == (other.truth, other.taken_at, other.monotonic_s)


def test_seeds_differ_in_scenery_and_in_visits() -> None:
    boxes = set()
    pictures = []
    for seed in (1, 2, 3):
        frames = list(itertools.islice(unpaced(seed), 24))
        boxes.add(tuple(frame.truth for frame in frames))
        pictures.append(frames[0].pixels.astype(int))
    assert len(boxes) == 3
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).mean() > 10


def test_no_two_frames_are_identical() -> None:
    """A frozen picture is a fault, so even an empty scene has sensor noise."""
    frames = list(itertools.islice(unpaced(bees=0, hornet_every_s=NEVER_S), 12))
    assert all(not np.array_equal(a.pixels, b.pixels) for a, b in itertools.combinations(frames, 2))


def test_unpaced_times_count_from_a_fixed_start() -> None:
    frames = list(itertools.islice(unpaced(rate_hz=4.0), 3))
    start = datetime(2026, 9, 1, 11, 0, tzinfo=UTC)
    assert [frame.taken_at for frame in frames] == [start + timedelta(seconds=n / 4) for n in range(3)]
    assert [frame.monotonic_s for frame in frames] == [0.0, 0.25, 0.5]
    assert [frame.sequence for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_truth_boxes_contain_the_hornets(seed: int) -> None:
    """Compared with the same scene without hornets, the boxes differ, and orange is added only there."""
    size = (640, 352)
    pairs = zip(unpaced(seed, size), unpaced(seed, size, hornet_every_s=NEVER_S), strict=True)
    seen = 0
    for frame, without in itertools.islice(pairs, 8, 40):
        assert frame.truth is not None
        assert without.truth == ()
        if not frame.truth:
            continue
        seen += 1
        changed = np.abs(frame.pixels.astype(int) - without.pixels).max(axis=2) > 24
        assert changed[covered(frame.truth, *size, border_px=0)].mean() > 0.15
        warmer = warmth(frame.pixels) > warmth(without.pixels) + 50
        near = covered(frame.truth, *size, border_px=8)
        assert (warmer & near).sum() >= 0.95 * warmer.sum()
    assert seen >= 12


def test_without_hornets_the_truth_is_empty_and_not_none() -> None:
    frames = itertools.islice(unpaced(hornet_every_s=NEVER_S), 60)
    assert all(frame.truth == () for frame in frames)


@pytest.mark.parametrize("seed", [1, 2])
def test_bees_appear_and_disappear_only_at_the_entrance_or_outside_the_frame(seed: int) -> None:
    entrance = ((0.4, 0.3), (0.6, 0.3))
    site = Site(entrance, ((0.2, 0.3), (0.8, 0.3), (0.85, 0.4), (0.15, 0.4)), height=0.5625)
    ends = []
    for number in range(8):
        bee = Bee(seed, number, site)
        poses = [bee.pose(step * 0.05) for step in range(4000)]
        for before, after in itertools.pairwise(poses):
            if (before is None) != (after is None):
                ends.append(before or after)
    assert len(ends) > 100
    for pose in ends:
        assert pose is not None
        at_the_entrance = 0.38 < pose.x < 0.62 and abs(pose.y - 0.3) < 0.03
        outside = not (0.02 < pose.x < 0.98 and 0.02 < pose.y < 0.5425)
        assert at_the_entrance or outside


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hornets_visit_at_the_configured_interval_and_for_the_configured_time(seed: int) -> None:
    rate_hz, every_s, visits = 4.0, 12.0, 8
    frames = unpaced(seed, (64, 64), rate_hz, bees=0, hornet_every_s=every_s, hornet_stay_s=6.0)
    present = [bool(frame.truth) for frame in itertools.islice(frames, int(rate_hz * every_s * visits))]
    per_visit = np.array(present).reshape(visits, -1).sum(axis=1) / rate_hz
    assert per_visit.min() >= 4.0
    assert per_visit.max() <= 7.0


def test_hornets_in_full_view_are_5_to_7_percent_of_the_width_and_sometimes_come_in_pairs() -> None:
    """Boxes are smaller for foreshortened hornets and larger for spread legs."""
    frames = itertools.islice(unpaced(3, (256, 144), bees=0, hornet_every_s=12.0, hornet_stay_s=7.0), 24 * 20)
    truths = [frame.truth or () for frame in frames]
    sides = [
        max(box.x1 - box.x0, (box.y1 - box.y0) * 144 / 256)
        for truth in truths
        for box in truth
        if min(box) > 0.001 and max(box) < 0.999
    ]
    assert min(sides) > 0.03
    assert max(sides) < 0.09
    assert 0.045 < float(np.median(sides)) < 0.075
    assert max(len(truth) for truth in truths) == 2


def test_only_hornets_are_orange_and_black() -> None:
    """A hornet is orange on a mostly black body; a bee of any race is neither."""
    for kind, phase, amber in itertools.product(SpriteKind, range(PHASES), (0.0, 1.0)):
        if kind is SpriteKind.LEAF:
            continue
        texture = draw(kind, phase, 90.0, blur_px=0.0, bee_amber=amber).texture
        body = texture[texture[..., 3] > 240][:, :3]
        vivid = (orange(body) & (body[:, 0] > 170)).mean()
        black = (body.max(axis=1) < 45).mean()
        if kind in HORNETS:
            assert vivid > 0.15
            assert black > 0.4
        else:
            assert vivid < 0.08
            assert black < 0.32


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (480, 854), (333, 187), (64, 64)])
def test_frames_can_have_any_size(size: tuple[int, int]) -> None:
    frames = list(itertools.islice(unpaced(5, size, rate_hz=0.5), 6))
    assert all(frame.pixels.shape == (size[1], size[0], 3) for frame in frames)
    assert any(frame.truth for frame in frames)
    boxes = [box for frame in frames for box in frame.truth or ()]
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)


def test_the_frames_end_after_the_duration() -> None:
    assert sum(1 for _ in unpaced(size=(64, 64), rate_hz=5.0, duration_s=3.0)) == 15


def test_stop_ends_the_wait_for_the_next_frame() -> None:
    stop = threading.Event()
    frames = SimulatorCamera(SimulatorConfig(), 64, 64, 0.02, paced=True).frames(stop)
    next(frames)
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    asked_s = time.monotonic()
    assert next(frames, None) is None
    assert time.monotonic() - asked_s < 10
    timer.join()


def test_stop_ends_unpaced_frames() -> None:
    stop = threading.Event()
    frames = SimulatorCamera(SimulatorConfig(), 64, 64, 5.0, paced=False).frames(stop)
    next(frames)
    stop.set()
    assert next(frames, None) is None


def test_paced_frames_are_no_faster_than_the_rate_and_carry_the_current_time() -> None:
    camera = SimulatorCamera(SimulatorConfig(), 64, 64, 20.0, paced=True)
    before = datetime.now(UTC)
    frames = list(itertools.islice(camera.frames(threading.Event()), 9))
    assert frames[-1].monotonic_s - frames[0].monotonic_s >= 8 / 20 - 0.02
    assert before <= frames[0].taken_at <= frames[-1].taken_at <= datetime.now(UTC)
    assert [frame.sequence for frame in frames] == list(range(9))


def test_frames_missed_by_a_slow_consumer_are_counted_and_the_scene_continues() -> None:
    camera = SimulatorCamera(SimulatorConfig(seed=3), 64, 64, 50.0, paced=True)
    frames = camera.frames(threading.Event())
    next(frames)
    time.sleep(0.5)
    late = next(frames)
    assert camera.counts.dropped >= 20
    number = late.sequence + camera.counts.dropped
    same_moment = next(itertools.islice(unpaced(3, (64, 64), rate_hz=50.0), number, None))
    assert np.array_equal(late.pixels, same_moment.pixels)
