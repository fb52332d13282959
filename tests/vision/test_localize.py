"""From a class activation map to a peak and a box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hivewatch.domain.frames import WHOLE, Box, Map
from hivewatch.vision.localize import locate

maps = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 20)),
    elements=st.floats(-20, 20, width=32),
)
levels = st.floats(0.01, 1.0)
shares = st.floats(0.0, 0.45)


def blob(x: float, y: float, rows: int = 11, columns: int = 20, size_cells: float = 1.0) -> Map:
    """Draw logits from -4 to 5: a Gaussian centred at (x, y), given in cells."""
    row, column = np.mgrid[0:rows, 0:columns] + 0.5
    squared = (column - x) ** 2 + (row - y) ** 2
    return (9 * np.exp(-squared / (2 * size_cells**2)) - 4).astype(np.float32)


@given(maps, levels)
def test_the_peak_lies_in_the_box_and_the_box_in_the_frame(cam: Map, level: float) -> None:
    location = locate(cam, WHOLE, level)
    assert (location.box is None) == (cam.max() <= 0)
    assert WHOLE.contains(location.peak)
    if location.box is not None:
        x0, y0, x1, y1 = location.box
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert location.box.contains(location.peak)


@given(maps, levels)
def test_the_peak_lies_in_the_highest_cell(cam: Map, level: float) -> None:
    peak = locate(cam, WHOLE, level).peak
    rows, columns = cam.shape
    highest = np.argwhere(cam == cam.max())[0]
    assert abs(peak.y * rows - (highest[0] + 0.5)) <= 0.5 + 1e-6
    assert abs(peak.x * columns - (highest[1] + 0.5)) <= 0.5 + 1e-6


@given(maps, levels, shares, shares, shares, shares)
def test_the_location_in_a_crop_is_mapped_through_its_extent(
    cam: Map, level: float, left: float, top: float, right: float, bottom: float
) -> None:
    extent = Box(left, top, 1 - right, 1 - bottom)
    whole, cropped = locate(cam, WHOLE, level), locate(cam, extent, level)
    width, height = extent.x1 - extent.x0, extent.y1 - extent.y0
    assert cropped.peak == pytest.approx((left + whole.peak.x * width, top + whole.peak.y * height))
    assert (whole.box is None) == (cropped.box is None)
    if whole.box is not None:
        x0, y0, x1, y1 = whole.box
        expected = (left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height)
        assert cropped.box == pytest.approx(expected)


@given(st.floats(4, 10), st.floats(3.5, 7.5), st.integers(0, 5), st.integers(0, 1), st.floats(0.6, 1.2))
def test_moving_the_blob_by_whole_cells_moves_peak_and_box_with_it(
    x: float, y: float, across: int, down: int, size_cells: float
) -> None:
    before = locate(blob(x, y, size_cells=size_cells), WHOLE, 0.3)
    after = locate(blob(x + across, y + down, size_cells=size_cells), WHOLE, 0.3)
    shift = np.array((across / 20, down / 11))
    assert before.box is not None
    assert after.box is not None
    # Rounding may move a box edge by one step of the upsampled map.
    step = 1 / (9 * 11) + 1e-6
    assert np.subtract(after.peak, before.peak) == pytest.approx(shift, abs=1e-4)
    assert np.subtract(after.box, before.box) == pytest.approx(np.tile(shift, 2), abs=step)


def test_the_peak_is_found_to_a_fraction_of_a_cell() -> None:
    generator = np.random.default_rng(1)
    centres = generator.uniform((2, 2), (18, 9), size=(200, 2))
    errors = [
        np.hypot(*(np.multiply(locate(blob(x, y), WHOLE, 0.2).peak, (20, 11)) - (x, y))) for x, y in centres
    ]
    assert np.mean(errors) < 0.15


def test_the_peak_of_a_hornet_cut_off_by_the_border_lies_inside_the_frame() -> None:
    """Its logits are highest in the last row of cells."""
    peak = locate(blob(8, 11.2), WHOLE, 0.2).peak
    assert peak.y * 11 == pytest.approx(10.4, abs=0.2)


def test_only_the_region_around_the_peak_is_boxed() -> None:
    """A second, separate hornet with a lower peak does not widen the box."""
    cam = np.maximum(blob(4, 5), blob(15, 5) - 1)
    box = locate(cam, WHOLE, 0.2).box
    assert box is not None
    assert box.x1 < 0.5


def test_a_lower_level_gives_a_larger_box() -> None:
    low, high = locate(blob(8, 5), WHOLE, 0.1).box, locate(blob(8, 5), WHOLE, 0.8).box
    assert low is not None
    assert high is not None
    assert low.x0 < high.x0
    assert low.y1 > high.y1


def test_the_box_of_a_single_positive_cell_is_the_whole_extent() -> None:
    extent = Box(0.25, 0.5, 0.75, 1.0)
    location = locate(np.array([[2.0]], np.float32), extent, 0.2)
    assert location.peak == pytest.approx((0.5, 0.75))
    assert location.box == extent


def test_the_box_of_a_flat_positive_map_is_the_whole_extent() -> None:
    location = locate(np.full((5, 7), 3.0, np.float32), WHOLE, 0.2)
    assert location.box == WHOLE


@pytest.mark.parametrize("value", [0.0, -1.0, -1e30])
def test_a_map_without_positive_logits_has_a_peak_but_no_box(value: float) -> None:
    location = locate(np.full((5, 7), value, np.float32), WHOLE, 0.2)
    assert location.box is None
    assert WHOLE.contains(location.peak)
