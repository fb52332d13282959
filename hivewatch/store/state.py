"""The table ``state``: short texts that survive a restart, each under a key.

hivewatch 0.3 kept four such texts in files of their own. They are taken over when the store is opened, and
the files stay, so that a failed upgrade can go back to 0.3 with nothing lost. A file is taken over again only
if 0.3 has written another text to it in the meantime; a removed file changes nothing. All functions let
sqlite3.Error through.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from hivewatch.store.database import CREATE_STATE, transaction

log = logging.getLogger(__name__)

# Each is also the key that its text gets.
_OLD_FILES = ("threshold", "pressure", "last-summary", "announced-topics")


def remember(records: sqlite3.Connection, key: str, value: str | None) -> None:
    """Set the value of ``key``; None deletes the key."""
    if value is None:
        records.execute("DELETE FROM state WHERE key = ?", (key,))
    else:
        records.execute(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )


def recall(records: sqlite3.Connection, key: str) -> str | None:
    """Return the value of ``key``, None if it has none."""
    row = records.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def prepare(records: sqlite3.Connection, directory: Path) -> None:
    """Create the table if the database is one of hivewatch 0.3, and take over 0.3's files."""
    texts = _read_old_files(directory)
    with transaction(records):
        records.execute(CREATE_STATE)
        new = [name for name, text in texts.items() if recall(records, _taken_over_key(name)) != text]
        for name in new:
            remember(records, name, texts[name] or None)
            remember(records, _taken_over_key(name), texts[name])
    if new:
        log.info("took over from the files of an earlier hivewatch: %s", ", ".join(new))


def has_old_files(directory: Path) -> bool:
    """Return whether hivewatch 0.3 has kept texts in ``directory``."""
    return any((directory / name).exists() for name in _OLD_FILES)


def _taken_over_key(name: str) -> str:
    """Return the key that holds what was last taken over from the file ``name``."""
    return f"taken-over:{name}"


def _read_old_files(directory: Path) -> dict[str, str]:
    """Return the texts of the old files that can be read, by name."""
    texts = {}
    for name in _OLD_FILES:
        try:
            texts[name] = (directory / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            log.warning("cannot take over %s, which is ignored and kept: %s", directory / name, error)
    return texts
