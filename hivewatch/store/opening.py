"""Open the database and check it: its structure, its tables, and every row.

All functions let sqlite3.Error through.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hivewatch.errors import StoreError
from hivewatch.store.database import (
    DATABASE_VERSION,
    LATER_TABLES,
    TABLES,
    DamagedError,
    connect,
    create_tables,
)
from hivewatch.store.disk import primary_code, read_if_there
from hivewatch.store.pages import is_log_damaged
from hivewatch.store.rows import mend

# Errors that come from the disk, the system or another process. Every other one comes from the contents.
_SURROUNDINGS = {
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS),
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT),
}
# Where the header says which versions of the file format may write and read the file: 1, or 2 with a log.
_FORMATS = slice(18, 20)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database for records, check it, and create the tables if it is new.

    Raises DamagedError or another sqlite3.DatabaseError (UnicodeDecodeError if its message quotes damaged
    text), and StoreError if a newer hivewatch made it.
    """
    _require_log(path)
    connection = connect(path, "FULL")
    try:
        _require_writable(connection)
        check_integrity(connection)
        _check_tables(connection, path)
        _check_rows(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError, path: Path) -> bool:
    """Return whether ``open_database`` failed because of what is in the file at ``path``."""
    if isinstance(error, UnicodeDecodeError):
        return True
    if primary_code(error) == sqlite3.SQLITE_READONLY:
        return not set(path.read_bytes()[_FORMATS]) <= {1, 2}
    return primary_code(error) not in _SURROUNDINGS


def check_integrity(connection: sqlite3.Connection) -> None:
    """Read the whole database; raises DamagedError if it is inconsistent."""
    (findings,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if findings != "ok":
        raise DamagedError(findings)


def _require_log(path: Path) -> None:
    """Raise DamagedError if SQLite would silently ignore what is in the write-ahead log."""
    content = read_if_there(path.with_name(f"{path.name}-wal"))
    if content and not read_if_there(path):
        raise DamagedError("the file is empty, but not its log")
    if is_log_damaged(content):
        raise DamagedError("its log is damaged")


def _require_writable(connection: sqlite3.Connection) -> None:
    """Raise SQLite's error if it refuses to write: at once, not when the first hornet is recorded."""
    connection.execute("BEGIN IMMEDIATE")  # SQLite makes that a BEGIN if it may not write
    connection.execute("PRAGMA user_version = 0")
    connection.execute("ROLLBACK")


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables if there are none; raises DamagedError if they are not as hivewatch makes them."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = _definitions(connection)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        create_tables(pattern)
        expected = _definitions(pattern)
    if version == 0 and not found:
        create_tables(connection)
        return
    expected = {name: sql for name, sql in expected.items() if name in found or name not in LATER_TABLES}
    wrong = sorted(name for name in expected if found.get(name) != expected[name])
    # With exactly these tables it is this version, and its number is damaged: others have other tables.
    if version > DATABASE_VERSION and found != expected:
        raise StoreError(
            f"{path} was made by a newer hivewatch (version {version}, this hivewatch "
            f"supports {DATABASE_VERSION}): upgrade hivewatch, or choose another store.directory"
        )
    if wrong or version != DATABASE_VERSION:
        raise DamagedError(f"its version is {version}; wrong or missing are {wrong}")


def _definitions(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the SQL text of every table and index by name."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return dict(rows.fetchall())


def _check_rows(connection: sqlite3.Connection) -> None:
    """Raise DamagedError if any row has a value that hivewatch cannot use."""
    tables = _definitions(connection).keys() & set(TABLES)
    for table in tables:
        rows = connection.execute(f"SELECT * FROM {table}")  # noqa: S608  only our own names
        names = [column[0] for column in rows.description]
        for values in rows:
            if mend(table, values) != dict(zip(names, values, strict=True)):
                raise DamagedError(f"a row of {table} has a value that cannot be")
