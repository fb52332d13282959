"""Each supported pixel format converts back to the picture it was made from."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from hivewatch.camera.sources.pixel_formats import to_rgb
from hivewatch.domain.frames import Pixels
from hivewatch.errors import CameraError

WIDTH_PX, HEIGHT_PX = 64, 48
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "orange": (240, 140, 20)}
PADDING = 0xA5


def coloured_bars() -> Pixels:
    """Return vertical bars in four colours, darker below, so that every flip is noticed."""
    bars = np.repeat(np.array(list(COLOURS.values()), np.uint8), WIDTH_PX // len(COLOURS), axis=0)
    picture = np.repeat(bars[np.newaxis], HEIGHT_PX, axis=0)
    picture[HEIGHT_PX // 2 :] //= 2
    return picture


def packed(order: str) -> Callable[[Pixels], list[Pixels]]:
    """Return a function that makes the plane of a packed format with this byte order; x is padding."""

    def planes(rgb: Pixels) -> list[Pixels]:
        channels = {
            "R": rgb[..., 0],
            "G": rgb[..., 1],
            "B": rgb[..., 2],
            "x": np.full(rgb.shape[:2], PADDING),
        }
        return [np.stack([channels[c] for c in order], axis=2).reshape(HEIGHT_PX, -1).astype(np.uint8)]

    return planes


def yuv(rgb: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Return the planes Y, U and V, with U and V at half size (BT.601, limited range)."""
    i420 = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8).reshape(-1)
    area, quarter = WIDTH_PX * HEIGHT_PX, WIDTH_PX * HEIGHT_PX // 4
    half = (HEIGHT_PX // 2, WIDTH_PX // 2)
    return (
        i420[:area].reshape(HEIGHT_PX, WIDTH_PX),
        i420[area : area + quarter].reshape(half),
        i420[area + quarter :].reshape(half),
    )


def planar(order: str) -> Callable[[Pixels], list[Pixels]]:
    """Return a function that makes three planes: Y, then U and V in this order."""

    def planes(rgb: Pixels) -> list[Pixels]:
        by_name = dict(zip("YUV", yuv(rgb), strict=True))
        return [by_name[name] for name in "Y" + order]

    return planes


def semi_planar(order: str) -> Callable[[Pixels], list[Pixels]]:
    """Return a function that makes two planes: Y, then U and V interleaved in this order."""

    def planes(rgb: Pixels) -> list[Pixels]:
        by_name = dict(zip("YUV", yuv(rgb), strict=True))
        both = np.stack([by_name[name] for name in order], axis=2)
        return [by_name["Y"], both.reshape(HEIGHT_PX // 2, WIDTH_PX)]

    return planes


FORMATS: dict[str, Callable[[Pixels], list[Pixels]]] = {
    "BGR888": packed("RGB"),
    "RGB888": packed("BGR"),
    "XBGR8888": packed("RGBx"),
    "XRGB8888": packed("BGRx"),
    "YUV420": planar("UV"),
    "YVU420": planar("VU"),
    "NV12": semi_planar("UV"),
    "NV21": semi_planar("VU"),
}


def in_memory(planes: list[Pixels], padding_bytes: int) -> tuple[Pixels, int]:
    """Return one buffer with rows padded in proportion to their width, and the stride of the first plane."""
    row_bytes = planes[0].shape[1]
    padded = [
        np.pad(plane, ((0, 0), (0, padding_bytes * plane.shape[1] // row_bytes)), constant_values=PADDING)
        for plane in planes
    ]
    return np.concatenate([plane.reshape(-1) for plane in padded]), row_bytes + padding_bytes


@pytest.mark.parametrize("padding_bytes", [0, 32])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_picture_keeps_its_colours(pixel_format: str, padding_bytes: int) -> None:
    expected = coloured_bars()
    buffer, stride_bytes = in_memory(FORMATS[pixel_format](expected), padding_bytes)

    picture = to_rgb(buffer, pixel_format, (WIDTH_PX, HEIGHT_PX), stride_bytes)

    assert picture.shape == expected.shape
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    # Limited-range YUV has fewer steps than RGB; packed formats lose nothing.
    tolerance = 4 if pixel_format in ("YUV420", "YVU420", "NV12", "NV21") else 0
    assert np.abs(picture.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_bytes_after_the_last_row_are_ignored(pixel_format: str) -> None:
    expected = coloured_bars()
    buffer, stride_bytes = in_memory(FORMATS[pixel_format](expected), 0)
    longer = np.concatenate([buffer, np.full(4096, PADDING, np.uint8)])

    size_px = (WIDTH_PX, HEIGHT_PX)
    np.testing.assert_array_equal(
        to_rgb(longer, pixel_format, size_px, stride_bytes),
        to_rgb(buffer, pixel_format, size_px, stride_bytes),
    )


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_a_buffer_that_is_too_short_is_an_error_that_names_both_lengths(pixel_format: str) -> None:
    buffer, stride_bytes = in_memory(FORMATS[pixel_format](coloured_bars()), 0)
    with pytest.raises(
        CameraError, match=f"delivered {buffer.size - 1} bytes instead of .* rows of {stride_bytes} bytes"
    ):
        to_rgb(buffer[:-1], pixel_format, (WIDTH_PX, HEIGHT_PX), stride_bytes)


def test_an_unsupported_format_is_an_error_that_lists_the_supported_ones() -> None:
    with pytest.raises(CameraError, match=r"delivers MJPEG.*supported are BGR888, .*NV21"):
        to_rgb(np.zeros(100, np.uint8), "MJPEG", (10, 10), 10)
