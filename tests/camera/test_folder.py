"""Pictures from files: which are read, in what order, and how unusual and damaged ones are handled."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from support.users import without_rights

from hivewatch.camera.sources.folder import FolderCamera, find_pictures
from hivewatch.camera.sources.picture import PictureError, modified_at, read_picture
from hivewatch.domain.frames import Frame
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def flag(width_px: int = 60, height_px: int = 40) -> Image.Image:
    """Return a picture that is red above and blue below."""
    picture = Image.new("RGB", (width_px, height_px), RED)
    picture.paste(BLUE, (0, height_px // 2, width_px, height_px))
    return picture


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8))


def dated(taken: str) -> Image.Exif:
    """Return the EXIF data of a picture taken at this local time."""
    exif = Image.Exif()
    exif[0x0132] = taken
    return exif


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, picture: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[path.suffix.lower()]
    path.write_bytes(encoded(picture or flag(), kind, **options))
    return path


def play(*paths: Path, rate_hz: float = 5.0) -> tuple[list[Frame], FolderCamera]:
    camera = FolderCamera(paths, rate_hz=rate_hz, paced=False)
    return list(camera.frames(threading.Event())), camera


def close_to(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= 3)


def test_pictures_are_read_in_natural_order_from_all_subfolders(tmp_path: Path) -> None:
    names = ["a/img1.png", "a/img2.JPG", "a/img10.webp", "b/IMG3.jpeg", "b/img20.Png"]
    for name in reversed(names):
        write(tmp_path / name)
    frames, _ = play(tmp_path)
    assert [frame.source for frame in frames] == [str(tmp_path / name) for name in names]


def test_other_files_and_hidden_pictures_are_ignored(tmp_path: Path) -> None:
    write(tmp_path / "hive.jpg")
    write(tmp_path / "._hive.jpg")
    write(tmp_path / ".thumbnails" / "hive.jpg")
    (tmp_path / "notes.txt").write_text("nothing")
    assert find_pictures(tmp_path) == [tmp_path / "hive.jpg"]


def test_a_list_of_pictures_and_folders_keeps_its_order(tmp_path: Path) -> None:
    last, first = write(tmp_path / "folder" / "a.png"), write(tmp_path / "z.png")
    frames, camera = play(first, tmp_path / "folder")
    assert [frame.source for frame in frames] == [str(first), str(last)]
    assert camera.name == "2 paths"


def test_a_frame_has_its_number_its_times_and_its_file(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        os.utime(write(tmp_path / name), (1_750_000_000, 1_750_000_000))
    frames, _ = play(tmp_path, rate_hz=4)
    assert [(frame.sequence, frame.monotonic_s) for frame in frames] == [(0, 0.0), (1, 0.25), (2, 0.5)]
    assert {frame.taken_at for frame in frames} == {datetime.fromtimestamp(1_750_000_000, tz=UTC)}


def test_a_bad_picture_is_skipped_counted_and_logged_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(encoded(noise(), "JPEG")[:-100])
    write(tmp_path / "3.jpg")
    with caplog.at_level(logging.WARNING):
        frames, camera = play(tmp_path)
    assert [(Path(frame.source).name, frame.sequence, frame.monotonic_s) for frame in frames] == [
        ("1.jpg", 0, 0.0),
        ("3.jpg", 1, 0.2),
    ]
    assert camera.counts.bad == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped a picture: {tmp_path / '2.jpg'} is truncated: its end is missing"
    ]


@pytest.mark.parametrize("name", ["folder", "picture.jpg"])
def test_a_missing_path_is_an_error_that_names_it_and_says_what_to_do(tmp_path: Path, name: str) -> None:
    missing = tmp_path / name
    with pytest.raises(
        CameraError, match=rf"^{missing} does not exist: name a picture or a folder of pictures$"
    ):
        play(missing)


@pytest.mark.parametrize("name", ["pictures", "pictures/1.jpg"])
def test_a_path_that_is_not_open_to_the_user_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    write(home / "pictures" / "1.jpg")
    with without_rights(home):
        pass  # opens the way
    home.chmod(0o000)
    try:
        with without_rights(Path("/")), pytest.raises(CameraError, match="cannot be read") as refused:
            play(home / name)
    finally:
        home.chmod(0o755)
    assert str(refused.value).startswith(str(home / name))


def test_a_folder_that_vanishes_before_the_first_frame_is_an_error(tmp_path: Path) -> None:
    picture = write(tmp_path / "pictures" / "1.jpg")
    frames = FolderCamera([picture.parent], rate_hz=5.0, paced=True).frames(threading.Event())
    picture.unlink()
    picture.parent.rmdir()
    with pytest.raises(CameraError, match=rf"^{picture.parent} does not exist: name a picture or a folder"):
        next(frames)


def test_a_picture_that_vanishes_from_a_list_is_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing, there = tmp_path / "1.jpg", write(tmp_path / "2.jpg")
    frames, camera = play(missing, there)
    assert [frame.source for frame in frames] == [str(there)]
    assert camera.counts.bad == 1
    assert f"{missing} cannot be read: No such file or directory" in caplog.text


@pytest.mark.parametrize("name", ["empty", "text"])
def test_a_folder_without_pictures_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing")
    with pytest.raises(CameraError, match=name):
        play(tmp_path / name)


def test_a_folder_without_a_readable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(CameraError, match="not one of 2 pictures"):
        play(tmp_path)


def test_a_subfolder_that_cannot_be_listed_is_an_error_and_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "1.jpg")
    (tmp_path / "locked").mkdir()
    real_scandir = os.scandir

    def scandir(path: str) -> object:  # the tests may run as root, who may list any folder
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CameraError, match="locked cannot be listed: Permission denied"):
        play(tmp_path)


@pytest.mark.parametrize("name", [b"h\xe4.jpg", b"a:b.jpg", b"h_%03d.jpg", "フレロン.jpg".encode()])
def test_a_picture_with_any_name_is_read_and_its_name_can_be_sent(
    tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jpg").rename(os.fsdecode(name))
    (frame,), camera = play(Path())
    assert close_to(frame.pixels[5, 5], RED)
    assert frame.source == printable(os.fsdecode(name))
    frame.source.encode()
    camera.name.encode()


def test_a_bad_picture_whose_name_is_not_utf_8_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.jpg")
    (tmp_path / os.fsdecode(b"b\xe4.jpg")).write_bytes(b"no picture")
    frames, _ = play(tmp_path)
    assert len(frames) == 1
    assert r"b\xe4.jpg is not a JPEG" in caplog.text


def test_pictures_of_kinds_that_are_not_read_are_counted_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.jpg")
    for name in ("1.heic", "2.HEIC", "c.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_pictures(tmp_path) == [tmp_path / "a.jpg"]
    assert "passed over 2 .heic, 1 .mp4" in caplog.text


def test_a_folder_with_other_kinds_only_is_an_error_that_counts_them(tmp_path: Path) -> None:
    (tmp_path / "1.heic").write_bytes(b"")
    with pytest.raises(CameraError, match=r"holds no picture .*; passed over 1 \.heic"):
        find_pictures(tmp_path)


@pytest.mark.parametrize("by_name", [True, False])
def test_pictures_of_a_time_lapse_that_count_as_a_film_are_told(
    tmp_path: Path, by_name: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for minute in range(0, 10, 2):
        name = f"hive_20260914-12{minute:02}30.jpg" if by_name else f"{minute}.jpg"
        write(tmp_path / name, exif=Image.Exif() if by_name else dated(f"2026:09:14 12:{minute:02}:30"))
    list(FolderCamera([tmp_path], rate_hz=50.0, paced=True).frames(threading.Event()))
    assert caplog.text.count("were taken about 120 s apart, but they count as 50 a second") == 1


@pytest.mark.parametrize("step_s", [0, 1])
def test_pictures_of_a_film_are_not_taken_for_a_time_lapse(
    tmp_path: Path, step_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(12):
        write(tmp_path / f"{second}.jpg", exif=dated(f"2026:09:14 12:00:{second * step_s:02}"))
    list(FolderCamera([tmp_path], rate_hz=100.0, paced=True).frames(threading.Event()))
    assert "apart" not in caplog.text


def test_paced_pictures_are_not_early(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        write(tmp_path / name)
    started_s = time.monotonic()
    for frame in FolderCamera([tmp_path], rate_hz=20, paced=True).frames(threading.Event()):
        assert time.monotonic() - started_s >= frame.monotonic_s
    assert frame.sequence == 2


def test_stop_ends_a_paced_wait(tmp_path: Path) -> None:
    write(tmp_path / "1.png")
    write(tmp_path / "2.png")
    stop = threading.Event()
    frames = FolderCamera([tmp_path], rate_hz=0.001, paced=True).frames(stop)
    next(frames)
    threading.Timer(0.1, stop.set).start()
    assert list(frames) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept_share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_picture_is_rejected_and_never_half_decoded(
    tmp_path: Path, kind: str, kept_share: float
) -> None:
    whole = encoded(noise(), kind)
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * kept_share)])
    with pytest.raises(PictureError, match="truncated"):
        read_picture(path)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_picture_that_ends_in_zeros_after_a_power_cut_is_rejected(tmp_path: Path, kind: str) -> None:
    whole = encoded(noise(), kind)
    path = tmp_path / "zeros"
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(PictureError, match="truncated"):
        read_picture(path)


def test_a_truncated_jpeg_is_rejected_even_if_its_thumbnail_is_complete(tmp_path: Path) -> None:
    thumbnail = b"Exif\x00\x00" + encoded(flag(), "JPEG")
    whole = encoded(noise(), "JPEG")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[:2] + segment + whole[2:-2])
    with pytest.raises(PictureError, match="truncated"):
        read_picture(path)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_tiff_of_any_compression_is_read_whole_or_not_at_all(
    tmp_path: Path, compression: str | None
) -> None:
    whole = encoded(noise(), "TIFF", compression=compression)
    (tmp_path / "whole.tif").write_bytes(whole)
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    assert read_picture(tmp_path / "whole.tif").shape == (120, 160, 3)
    with pytest.raises(PictureError, match=r"truncated|damaged"):
        read_picture(tmp_path / "cut.tif")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_every_bmp_is_read_whole_or_not_at_all(tmp_path: Path, mode: str) -> None:
    whole = encoded(noise().convert(mode), "BMP")
    (tmp_path / "whole.bmp").write_bytes(whole)
    (tmp_path / "cut.bmp").write_bytes(whole[:-8])
    assert read_picture(tmp_path / "whole.bmp").shape == (120, 160, 3)
    with pytest.raises(PictureError, match="truncated"):
        read_picture(tmp_path / "cut.bmp")


def test_data_that_a_phone_appends_to_a_jpeg_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded(flag(), "JPEG") + b"\x00\x00SEFT trailer")
    assert close_to(read_picture(path)[5, 5], RED)


def test_padding_before_a_marker_of_a_jpeg_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "padded.jpg"
    path.write_bytes(encoded(flag(), "JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb"))
    assert close_to(read_picture(path)[5, 5], RED)


def test_a_progressive_jpeg_must_be_complete_to_its_last_scan(tmp_path: Path) -> None:
    whole = encoded(noise(), "JPEG", progressive=True)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[:-200])
    assert read_picture(tmp_path / "whole.jpg").shape == (120, 160, 3)
    with pytest.raises(PictureError, match="truncated"):
        read_picture(tmp_path / "cut.jpg")


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jpg", {"quality": 95}), ("a.png", {}), ("a.webp", {"lossless": True}), ("b.webp", {"quality": 95})],
)
def test_pixels_are_rgb(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    pixels = read_picture(write(tmp_path / name, **options))
    assert pixels.shape == (40, 60, 3)
    assert close_to(pixels[5, 5], RED)
    assert close_to(pixels[35, 5], BLUE)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_transparent_palette_and_cmyk_pictures_keep_their_colours(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    pixels = read_picture(write(tmp_path / name, flag().convert(mode)))
    assert pixels.shape == (40, 60, 3)
    assert close_to(pixels[5, 5], RED)
    assert close_to(pixels[35, 5], BLUE)


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True, "exact": True})])
def test_transparent_pixels_keep_their_stored_colour(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    clear = flag().convert("RGBA")
    clear.putalpha(0)
    assert close_to(read_picture(write(tmp_path / name, clear, **options))[5, 5], RED)


def test_a_grey_picture_has_three_equal_channels(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        pixels = read_picture(write(tmp_path / name, Image.new("L", (60, 40), 90)))
        assert pixels.shape == (40, 60, 3)
        assert close_to(pixels[5, 5], (90, 90, 90))


def test_16_bit_pictures_keep_their_upper_8_bits(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((40, 60, 3), (0, 0, 0x9C40), np.uint16))
    pixels = read_picture(path)
    assert pixels.dtype == np.uint8
    assert pixels[5, 5].tolist() == [0x9C, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_rotated_by_its_exif_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone"
    picture = flag()
    picture.paste((255, 255, 255), (0, 0, 20, 20))
    path.write_bytes(encoded(picture, kind, exif=exif))
    pixels = read_picture(path)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert pixels.shape == shown.shape
    assert np.abs(pixels.astype(int) - shown).mean() < 10


@pytest.mark.parametrize("exif", [b"", b"II", b"Exif\0\0II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0"])
def test_a_webp_with_damaged_exif_data_is_read_as_it_is_stored(tmp_path: Path, exif: bytes) -> None:
    path = tmp_path / "a.webp"
    content = encoded(flag(), "WEBP", exif=b"Exif\0\0" + bytes(40))
    path.write_bytes(content.replace(bytes(40), exif.ljust(40, b"x")))
    assert close_to(read_picture(path)[5, 5], RED)


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_the_first_picture_of_an_animation_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, save_all=True, append_images=[flag().rotate(180)], lossless=True)
    assert close_to(read_picture(path)[5, 5], RED)


@pytest.mark.parametrize(("width_px", "height_px"), [(1, 1), (1, 3000), (8000, 6000)])
def test_tiny_and_large_pictures_keep_their_size(tmp_path: Path, width_px: int, height_px: int) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((height_px, width_px, 3), np.uint8))
    assert read_picture(path).shape == (height_px, width_px, 3)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


@pytest.mark.parametrize("side_px", [30_000, 1_000_000])
def test_a_small_file_that_states_a_huge_size_is_rejected_before_decoding(
    tmp_path: Path, side_px: int
) -> None:
    size = side_px.to_bytes(4, "big")
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", size + size + b"\x08\x02\x00\x00\x00")
        + png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + png_chunk(b"IEND", b"")
    )
    with pytest.raises(PictureError, match=f"too large: {side_px} x {side_px}"):
        read_picture(path)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif"}])
def test_the_size_of_every_kind_of_webp_is_read(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hivewatch.camera.sources.picture.LARGEST_PX", 60 * 40 - 1)
    with pytest.raises(PictureError, match="too large: 60 x 40"):
        read_picture(write(tmp_path / "a.webp", **options))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(20), "is not a JPEG, PNG, WebP, BMP or TIFF picture"),
        (b"\xff\xd8\xff\xd9", "cannot be decoded"),
    ],
)
def test_a_file_that_is_not_a_picture_is_rejected_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        read_picture(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_the_size_is_known_before_decoding(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hivewatch.camera.sources.picture.LARGEST_PX", 60 * 40 - 1)
    (tmp_path / "a").write_bytes(encoded(flag(), kind))
    with pytest.raises(PictureError, match="too large: 60 x 40"):
        read_picture(tmp_path / "a")


def test_a_tiff_that_states_no_size_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + bytes(2) + bytes(4))
    with pytest.raises(PictureError, match="is not a JPEG"):
        read_picture(tmp_path / "a.tif")


def test_a_huge_file_is_rejected_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hivewatch.camera.sources.picture.LARGEST_BYTES", 10)
    with pytest.raises(PictureError, match=r"is too large: \d+ bytes"):
        read_picture(write(tmp_path / "a.jpg"))


def test_a_pipe_is_rejected_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match="is not a file"):
        read_picture(tmp_path / "a.jpg")


def test_a_damaged_png_is_rejected(tmp_path: Path) -> None:
    whole = encoded(noise(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(whole[:2000] + bytes(500) + whole[2500:])
    with pytest.raises(PictureError, match="cannot be decoded"):
        read_picture(path)


def test_a_file_that_cannot_be_opened_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="is not a file"):
        read_picture(tmp_path)
    with pytest.raises(PictureError, match="No such file"):
        modified_at(tmp_path / "missing.jpg")
