"""Names of files, as they are printed and sent."""

from __future__ import annotations

import json
import os

import pytest

from hivewatch.domain.names import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"hornet.jpg", "hornet.jpg"),
        ("Frelon été 蜂.jpg".encode(), "Frelon été 蜂.jpg"),
        ("9.41\u202fAM.png".encode(), "9.41\u202fAM.png"),  # a narrow space, as in screenshots
        (b"h\xe4.jpg", r"h\xe4.jpg"),
        (b"a\x1b[2J\nb.jpg", r"a\x1b[2J\nb.jpg"),
        ("a\u202egpj.exe".encode(), r"a\u202egpj.exe"),  # writes the rest from right to left
    ],
)
def test_what_cannot_be_printed_is_escaped(name: bytes, shown: str) -> None:
    assert printable(os.fsdecode(name)) == shown
    assert printable(shown) == shown


def test_names_that_differ_in_one_byte_stay_different_and_can_be_sent() -> None:
    names = {printable(os.fsdecode(bytes([byte]))) for byte in range(128, 256)}
    assert len(names) == 128
    json.dumps(sorted(names), ensure_ascii=False).encode()
