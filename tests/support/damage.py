"""A seeded mutator that damages files the way bad cards, cut cables and tired users do."""

from __future__ import annotations

import random
from collections.abc import Callable

Mutation = Callable[[bytearray, random.Random], None]

_EXTREMES = (
    b"\x00\x00",
    b"\xff\xff",
    b"\x7f\xff",
    b"\x80\x00",
    b"\x00\x01",
    b"\xff\xff\xff\xff",
    b"\x00" * 4,
)
_WORDS = (
    *("yes", "no", "null", "~", ".nan", ".inf", "-1", "0", "1e999", "99999999999999999999", "0x1F", "1_000"),
    *(
        "''",
        '"',
        "'",
        "[]",
        "{}",
        "[[]]",
        "- 1",
        "!!binary aGk=",
        "!!python/name:os.system",
        "&a",
        "*a",
        "<<",
    ),
    *("2026-11-01", "12:30:00", "|", ">", "%", "@", "`", "\t", "\r", "\x00", "\ufeff", "\u2028", "é", "💥"),
    *(
        "~nobody-here/x",
        "!!bool x",
        "../../etc/passwd",
        "/dev/zero",
        "rtsp://u:p@h/",
        "#",
        ": ",
        "---",
        "...",
        "? x",
        "a" * 5000,
        "[" * 400,
    ),
)


def _random_slice(data: bytearray, rng: random.Random, longest: int = 400) -> slice:
    start = rng.randrange(len(data)) if data else 0
    return slice(start, start + rng.randint(1, longest))


def _flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 30) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _remove(data: bytearray, rng: random.Random) -> None:
    del data[_random_slice(data, rng)]


def _zero(data: bytearray, rng: random.Random) -> None:
    part = _random_slice(data, rng, 2000)
    data[part] = bytes(len(data[part]))


def _scramble(data: bytearray, rng: random.Random) -> None:
    part = _random_slice(data, rng)
    data[part] = rng.randbytes(len(data[part]))


def _insert(data: bytearray, rng: random.Random) -> None:
    start = _random_slice(data, rng).start
    data[start:start] = rng.randbytes(rng.randint(1, 100))


def _repeat(data: bytearray, rng: random.Random) -> None:
    part = _random_slice(data, rng, 2000)
    data[part.start : part.start] = data[part]


def _spoil_header(data: bytearray, rng: random.Random) -> None:
    start, extreme = rng.randrange(min(len(data), 400) or 1), rng.choice(_EXTREMES)
    data[start : start + len(extreme)] = extreme


def cut(data: bytes, rng: random.Random) -> bytes:
    """Return the start of ``data``, at least one byte short."""
    return data[: rng.randrange(len(data))]


_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bits, _remove, _zero, _scramble, _insert, _repeat, _spoil_header),
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return ``data`` after one to three mutations."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        rng.choice(_MUTATIONS)(spoilt, rng)
    return bytes(spoilt)


def miswritten(text: str, rng: random.Random) -> bytes:
    """Return ``text`` with errors that a user, an editor or a bad card may make."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, 4)):
        _miswrite(lines, rng)
    data = "".join(lines).encode()
    if rng.random() < 0.1:
        data = cut(data, rng)
    return damaged(data, rng) if rng.random() < 0.15 else data


def _miswrite(lines: list[str], rng: random.Random) -> None:
    n = rng.randrange(len(lines))
    line, column = lines[n], rng.randrange(len(lines[n]) + 1)
    match rng.randrange(9):
        case 0:
            lines[n] = line[:column] + line[column + 1 :]
        case 1:
            lines[n] = line[:column] + rng.choice(_WORDS) + line[column:]
        case 2 | 3:
            key, colon, _ = line.partition(":")
            lines[n] = f"{key}{colon} {rng.choice(_WORDS)}\n" if colon else line
        case 4:
            lines.insert(rng.randrange(len(lines)), line)
        case 5:
            lines[n] = " " * rng.randint(0, 6) + line.lstrip()
        case 6:
            del lines[n]
            lines.append("\n")
        case 7:
            other = rng.randrange(len(lines))
            lines[n], lines[other] = lines[other], line
        case 8:
            lines[n] = line.swapcase()
