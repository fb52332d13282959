"""The watched region: cropped, painted over, with its extent in the frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import make_frame

from hivewatch.config.sections import GateConfig, Polygon
from hivewatch.domain.frames import WHOLE, Frame
from hivewatch.vision.region import Region

LEFT_HALF: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
MIDDLE: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
MIDDLE_DIAMOND: Polygon = ((0.5, 0.25), (0.75, 0.5), (0.5, 0.75), (0.25, 0.5))


def white(width_px: int = 80, height_px: int = 40) -> Frame:
    return make_frame(np.full((height_px, width_px, 3), 255, np.uint8))


def test_without_polygons_the_whole_frame_is_watched_and_not_copied() -> None:
    frame = white()
    view = Region(GateConfig()).view(frame)
    assert view.extent == WHOLE
    assert view.pixels is frame.pixels


def test_the_view_is_the_bounding_box_of_the_watched_polygons() -> None:
    view = Region(GateConfig(watch=(MIDDLE,))).view(white())
    assert view.pixels.shape == (20, 40, 3)
    assert view.extent == (0.25, 0.25, 0.75, 0.75)
    assert (view.pixels == 255).all()


def test_pixels_outside_the_watched_polygon_are_painted_over() -> None:
    view = Region(GateConfig(watch=(MIDDLE_DIAMOND,))).view(white())
    assert (view.pixels[10, 20] == 255).all()
    assert not (view.pixels[0, 0] == 255).any()


def test_only_ignored_areas_are_painted_over() -> None:
    frame = white()
    view = Region(GateConfig(ignore=(LEFT_HALF,))).view(frame)
    assert not (view.pixels[:, :39] == 255).any()
    assert (view.pixels[:, 42:] == 255).all()
    assert (frame.pixels == 255).all(), "the frame itself is unchanged, for the snapshot"


def test_ignore_takes_precedence_over_watch() -> None:
    view = Region(GateConfig(watch=(MIDDLE,), ignore=(MIDDLE,))).view(white())
    assert not (view.pixels == 255).any()


def test_frames_of_another_size_get_their_own_mask() -> None:
    region = Region(GateConfig(ignore=(LEFT_HALF,)))
    region.view(white())
    assert (region.view(white(160, 90)).pixels[:, 90:] == 255).all()


points = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.lists(points, min_size=3, max_size=6), st.integers(1, 50), st.integers(1, 50))
def test_any_polygon_gives_a_view_of_at_least_one_pixel_inside_the_frame(
    polygon: list[tuple[float, float]], width_px: int, height_px: int
) -> None:
    view = Region(GateConfig(watch=(tuple(polygon),))).view(white(width_px, height_px))
    assert min(view.pixels.shape) >= 1
    assert 0 <= view.extent.x0 < view.extent.x1 <= 1
    assert 0 <= view.extent.y0 < view.extent.y1 <= 1
