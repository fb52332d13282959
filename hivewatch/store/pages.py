"""Read the rows of a damaged SQLite database page by page, past whatever is damaged.

SQLite itself stops at the first page that it cannot follow. This reader follows the file format
(https://www.sqlite.org/fileformat2.html) without header, schema, indexes and inner pages: it looks for rows
on every page that is not free, and follows only the chains of long rows. On a page whose own header is
damaged it looks for short rows at every offset, and may find deleted ones too. The write-ahead log is read as
well. Nothing is written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hivewatch.store.disk import read_if_there

PAGE_BYTES = 4096
"""The size of a page in every database of hivewatch: SQLite's default."""

Value = int | float | str | bytes | None

Row = tuple[int, list[Value]]

_LEAF_OF_A_TABLE, _INNER_OF_A_TABLE, _OF_AN_INDEX = 0x0D, 0x05, {0x02, 0x0A}
_HEADER_BYTES = 100
# The parts of a row's payload that stay on its page, as the file format defines them.
_MOST_LOCAL = PAGE_BYTES - 35
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_OVERFLOW_BYTES = PAGE_BYTES - 4
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {0: None, 8: 0, 9: 1}
_REAL = 7
_FIRST_BLOB = 12
_LIKELY_HEADER_BYTES = range(3, 40)
# So many damaged pages are searched at every offset: of a whole card of noise it would take hours.
_MOST_SEARCHES = 500
_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_LOG_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}


def read_rows(database: Path) -> Iterator[tuple[int, list[Value]]]:
    """Yield the rowid and the values of every row that can be read, of whichever table.

    Text that is not UTF-8 comes as bytes. Raises OSError if a file cannot be read.
    """
    pages = _Pages(database)
    free = _free_pages(pages)
    for number in range(1, pages.count + 1):
        if number not in free:
            yield from _rows(pages, pages[number], _HEADER_BYTES if number == 1 else 0)


class _Pages:
    """The pages of a database, numbered from 1, as of the last commit in its write-ahead log."""

    def __init__(self, database: Path) -> None:
        self._data = read_if_there(database)
        log = database.with_name(f"{database.name}-wal")
        self._logged = dict(committed_pages(read_if_there(log)))
        self.searches_left = _MOST_SEARCHES
        self.count = max(-(-len(self._data) // PAGE_BYTES), *self._logged, 0)

    def __getitem__(self, number: int) -> bytes:
        if not 1 <= number <= self.count:
            raise IndexError(number)
        if number in self._logged:
            return self._logged[number]
        page = self._data[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]
        return page.ljust(PAGE_BYTES, b"\0")  # the file may have been cut short


class _Frame(NamedTuple):
    """One page in a write-ahead log; ``is_commit``: it is the last one of a transaction."""

    number: int
    page: bytes
    is_commit: bool
    is_intact: bool


def committed_pages(log: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the intact pages in a write-ahead log, up to its last commit."""
    transaction = []
    for frame in _frames(log):
        if frame.is_intact:
            transaction.append((frame.number, frame.page))
        if frame.is_intact and frame.is_commit:
            yield from transaction
            transaction.clear()


def is_log_damaged(log: bytes) -> bool:
    """Return whether damage hides a commit in a write-ahead log: SQLite silently ignores all that follows it.

    Without a later commit, it is only the end of a transaction that a power cut has interrupted.
    """
    is_hidden = len(log) >= _LOG_HEADER_BYTES and not _is_log_header(log)
    for frame in _frames(log):
        is_hidden |= not frame.is_intact
        if is_hidden and frame.is_intact and frame.is_commit:
            return True
    return False


def _is_log_header(log: bytes) -> bool:
    order = _LOG_MAGIC.get(int.from_bytes(log[:4], "big"), "<")
    return _checksum(bytes(8), log[:24], order) == log[24:_LOG_HEADER_BYTES]


def _frames(log: bytes) -> Iterator[_Frame]:
    """Yield the frames since the log was last started, each checked by the checksum of the one before."""
    size = _FRAME_HEADER_BYTES + PAGE_BYTES
    if len(log) < _LOG_HEADER_BYTES + size:
        return
    order = _LOG_MAGIC.get(int.from_bytes(log[:4], "big"), "<")
    checksum = log[24:_LOG_HEADER_BYTES]
    # The salts tell the frames from older ones; the first frame has them as well.
    salts = log[16:24] if _is_log_header(log) else log[_LOG_HEADER_BYTES + 8 : _LOG_HEADER_BYTES + 16]
    for start in range(_LOG_HEADER_BYTES, len(log) - size + 1, size):
        frame = log[start : start + size]
        header, page = frame[:_FRAME_HEADER_BYTES], frame[_FRAME_HEADER_BYTES:]
        is_intact = _checksum(checksum, header[:8] + page, order) == header[16:24]
        if header[8:16] != salts and not is_intact:
            return  # what follows is older
        number, pages_after_commit = struct.unpack(">II", header[:8])
        yield _Frame(number, page, pages_after_commit > 0, is_intact and header[8:16] == salts)
        checksum = header[16:24]


def _checksum(before: bytes, content: bytes, order: str) -> bytes:
    first, second = struct.unpack(">II", before)
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for one, two in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return struct.pack(">II", first, second)


def _free_pages(pages: _Pages) -> set[int]:
    """Return the pages that are not in use: they may hold deleted rows. Empty if their list is damaged."""
    free: set[int] = set()
    try:
        trunk, expected = struct.unpack_from(">II", pages[1], 32)
        while trunk and trunk not in free:
            following, count = struct.unpack_from(">II", pages[trunk])
            free |= {trunk, *struct.unpack_from(f">{count}I", pages[trunk], 8)}
            trunk = following
    except (IndexError, struct.error):
        return set()
    return free if len(free) == expected else set()


def _cell_offsets(page: bytes, start: int) -> Iterator[int]:
    (count,) = struct.unpack_from(">H", page, start + 3)
    first = start + 8
    for (offset,) in struct.iter_unpack(">H", page[first : min(first + 2 * count, PAGE_BYTES)]):
        yield offset


def _rows(pages: _Pages, page: bytes, start: int) -> Iterator[Row]:
    """Yield the rows on a page, of whatever kind: a flipped bit makes a leaf look like another one."""
    kind = page[start]
    if kind in _OF_AN_INDEX or (kind == 0 and any(page[start : start + 8])):  # 0: part of a long row
        return
    offsets = set(_cell_offsets(page, start))
    rows = {offset: row for offset in sorted(offsets) if (row := _row_or_none(pages, page, offset))}
    yield from rows.values()
    # An inner page may hold old rows: it was a leaf when the table was small.
    if kind == _INNER_OF_A_TABLE or (kind == _LEAF_OF_A_TABLE and len(rows) == len(offsets)):
        return
    if pages.searches_left > 0:
        pages.searches_left -= 1
        for offset in range(start + 8, PAGE_BYTES):
            if offset not in rows and _may_begin(page, offset) and (row := _row_or_none(pages, page, offset)):
                yield row


def _may_begin(page: bytes, offset: int) -> bool:
    """Return whether a whole row with a header as short as those of hivewatch may begin at ``offset``."""
    try:
        size, offset = _varint(page, offset)
        _, offset = _varint(page, offset)
        return offset + size <= PAGE_BYTES and page[offset] in _LIKELY_HEADER_BYTES
    except IndexError:
        return False


def _row_or_none(pages: _Pages, page: bytes, offset: int) -> Row | None:
    """Return the row at ``offset``, None if there is none that can be read."""
    try:
        return _row(pages, page, offset)
    except (ValueError, IndexError, struct.error):
        return None


def _row(pages: _Pages, page: bytes, offset: int) -> Row:
    size, offset = _varint(page, offset)
    rowid, offset = _varint(page, offset)
    if rowid >= 1 << 63:
        rowid -= 1 << 64
    return rowid, _values(_payload(pages, page, offset, size))


def _payload(pages: _Pages, page: bytes, offset: int, size: int) -> bytes:
    if size <= _MOST_LOCAL:
        return page[offset : offset + size]
    if size > pages.count * PAGE_BYTES:
        raise ValueError("larger than the database")
    local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % _OVERFLOW_BYTES
    if local > _MOST_LOCAL:
        local = _LEAST_LOCAL
    parts = [page[offset : offset + local]]
    (following,) = struct.unpack_from(">I", page, offset + local)
    for _ in range(-(-(size - local) // _OVERFLOW_BYTES)):
        overflow = pages[following]
        (following,) = struct.unpack_from(">I", overflow)
        parts.append(overflow[4:])
    return b"".join(parts)[:size]


def _values(payload: bytes) -> list[Value]:
    """Return the values of a record; raises ValueError if it does not add up."""
    header_bytes, offset = _varint(payload, 0)
    if header_bytes > len(payload):
        raise ValueError("the header is longer than the row")
    kinds = []
    while offset < header_bytes:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, offset = _value(payload, offset, kind)
        values.append(value)
    if offset != len(payload):
        raise ValueError("the lengths of the values do not add up")
    return values


def _value(payload: bytes, offset: int, kind: int) -> tuple[Value, int]:
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], offset
    if kind in _INTEGER_BYTES:
        end = offset + _INTEGER_BYTES[kind]
        return int.from_bytes(payload[offset:end], "big", signed=True), end
    if kind == _REAL and offset <= len(payload):
        (real,) = struct.unpack_from(">d", payload, offset)
        return float(real), offset + 8
    if kind < _FIRST_BLOB:
        raise ValueError("no such kind of value")
    end = offset + (kind - _FIRST_BLOB) // 2
    content = payload[offset:end]
    if kind % 2:
        try:
            return content.decode(), end
        except UnicodeDecodeError:
            pass
    return content, end


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return the integer of 1 to 9 bytes at ``offset``, and where it ends."""
    value = 0
    for position in range(offset, offset + 8):
        value = value << 7 | data[position] & 0x7F
        if data[position] < 0x80:
            return value, position + 1
    return value << 8 | data[offset + 8], offset + 9
