"""Remembers across restarts where Home Assistant was told of the hive: a file in the store's directory.

A retained document outlives the daemon that sent it. Whoever switches it off, or renames prefix or hive, does
so in a file that the daemon reads when it starts the next time: then it must know what there is to take back.
"""

from __future__ import annotations

from pathlib import Path

from hivewatch.store.disk import disk_errors, sync_folder, write_durably


class Announced:
    """The topics that a discovery document was ever sent to."""

    def __init__(self, directory: Path) -> None:
        """Read what was noted; raises StoreError where it cannot be read."""
        self._path = directory / "announced-topics"
        with disk_errors("read where Home Assistant was told of the hive", directory):
            text = self._path.read_text(errors="replace") if self._path.exists() else ""
        self.topics = frozenset(line for line in text.splitlines() if line)

    def note(self, topic: str) -> None:
        """Note a topic before anything is sent to it; raises StoreError where that cannot be kept."""
        if topic in self.topics:
            return
        topics = self.topics | {topic}
        with disk_errors("note where Home Assistant is told of the hive", self._path.parent):
            write_durably(self._path, "".join(f"{line}\n" for line in sorted(topics)).encode())
            sync_folder(self._path.parent)
        self.topics = topics
