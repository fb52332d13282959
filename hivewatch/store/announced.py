"""Remembers across restarts where Home Assistant was told of the hive.

A retained document outlives the daemon that sent it. Whoever switches it off, or renames prefix or hive, does
so in a file that the daemon reads when it starts the next time: then it must know what there is to take back.
"""

from __future__ import annotations

from pathlib import Path

from hivewatch.store.notes import Note


class Announced:
    """The topics that a discovery document was ever sent to."""

    def __init__(self, directory: Path) -> None:
        """Read what was noted in the store's ``directory``; raises StoreError where it cannot be read."""
        self._note = Note(directory, "announced-topics")
        self.topics = frozenset(self._note.read().splitlines())

    def note(self, topic: str) -> None:
        """Note a topic before anything is sent to it; raises StoreError where that cannot be kept."""
        if topic not in self.topics:
            topics = self.topics | {topic}
            self._note.write("\n".join(sorted(topics)))
            self.topics = topics
