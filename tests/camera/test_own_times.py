"""The times that pictures state themselves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from hivewatch.camera.sources.own_times import stated_time


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("hive_20260914_123005.jpg", datetime(2026, 9, 14, 12, 30, 5)),
        ("2026-09-14 12.30.05.jpg", datetime(2026, 9, 14, 12, 30, 5)),
        ("2026-09-14T12:30:05.jpg", datetime(2026, 9, 14, 12, 30, 5)),
        ("PXL_20260914_123005123.jpg", datetime(2026, 9, 14, 12, 30, 5)),
        ("20260914-1230.jpg", datetime(2026, 9, 14, 12, 30)),
        ("img_000123.jpg", None),
        ("20269999_999999.jpg", None),
        ("1234567890123456.jpg", None),
    ],
)
def test_the_time_in_a_name_is_read(tmp_path: Path, name: str, at: datetime | None) -> None:
    (tmp_path / name).write_bytes(b"")
    assert stated_time(tmp_path / name) == at


def test_the_time_in_the_exif_data_counts_before_that_in_the_name(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2026:09:14 08:00:00"
    path = tmp_path / "20260101_000000.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    assert stated_time(path) == datetime(2026, 9, 14, 8)
