"""Small texts that outlast a restart: files in the store's directory."""

from __future__ import annotations

from pathlib import Path

from hivewatch.store.disk import disk_errors, sync_folder, write_durably


class Note:
    """One text, kept in the file ``name`` of the store's ``directory``."""

    def __init__(self, directory: Path, name: str) -> None:
        """Nothing is read or written yet."""
        self._path = directory / name

    def read(self) -> str:
        """Return the text, "" where there is none; raises StoreError where it cannot be read."""
        with disk_errors(f"read {self._path.name}", self._path.parent):
            return self._path.read_text(errors="replace").strip() if self._path.exists() else ""

    def write(self, text: str) -> None:
        """Keep ``text`` so that it survives a power cut; raises StoreError where that fails."""
        with disk_errors(f"write {self._path.name}", self._path.parent):
            write_durably(self._path, f"{text}\n".encode())
            sync_folder(self._path.parent)

    def remove(self) -> None:
        """Forget the text; raises StoreError where that fails."""
        with disk_errors(f"remove {self._path.name}", self._path.parent):
            self._path.unlink(missing_ok=True)
            sync_folder(self._path.parent)
