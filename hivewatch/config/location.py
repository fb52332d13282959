"""Where the configuration file is if nobody names it."""

from __future__ import annotations

from pathlib import Path

from hivewatch.errors import ConfigError

LOCAL = Path("hivewatch.yaml")
INSTALLED = Path("/etc/hivewatch/hivewatch.yaml")


def find_config(named: Path | None) -> Path:
    """Return ``named``, else the file in the current folder, else the installed one.

    A file in a folder that this user may not search counts as present: reading it then says so. Raises
    ConfigError if there is no file.
    """
    if named is not None:
        return named
    for path in (LOCAL, INSTALLED):
        try:
            path.stat()
        except PermissionError:
            return path
        except OSError:
            continue
        return path
    raise ConfigError(
        [
            f"there is neither ./{LOCAL} nor {INSTALLED}: name your file with --config FILE,"
            " or write one with `hivewatch init`"
        ]
    )
