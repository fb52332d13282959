"""The configuration in force: the file's options, and on top of them the threshold a command has set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from hivewatch.config.reader import load
from hivewatch.config.reload import reload
from hivewatch.config.sections import Config, DecisionConfig
from hivewatch.errors import ConfigError
from hivewatch.store import Store

log = logging.getLogger(__name__)

_KEY = "threshold"


class Configuration:
    """The one owner of configuration changes: every change ends in a call of ``apply``.

    The store keeps a commanded threshold through restarts. While commands are disabled the file's threshold
    is in force: no command could reset the other.
    """

    def __init__(self, path: Path, file: Config, store: Store, apply: Callable[[Config], None]) -> None:
        """``file`` was read from ``path``. Raises StoreError like the store; does not call ``apply``."""
        self.file = file
        """The options as the file sets them, restart-only changes excluded."""
        self._path = path
        self._store = store
        self._apply = apply
        self._commanded = _threshold(store.recall(_KEY))
        accepts_commands = file.mqtt.enabled and file.mqtt.commands
        if self._commanded is not None and not accepts_commands:
            log.warning("mqtt.commands is off: the commanded threshold %g is not in force", self._commanded)
            self._commanded = None

    @property
    def current(self) -> Config:
        """The configuration in force."""
        if self._commanded is None:
            return self.file
        decision = _with_threshold(self.file.decision, self._commanded)
        return self.file.model_copy(update={"decision": decision})

    def set_threshold(self, value: float | None) -> None:
        """Put a commanded threshold in force, or with None the file's; raises StoreError like the store."""
        self._store.remember(_KEY, None if value is None else repr(value))
        self._commanded = value
        self._apply(self.current)

    def reload(self) -> None:
        """Read the file again and apply what needs no restart; log and ignore a file that cannot be used."""
        try:
            new = load(self._path)
        except ConfigError as error:
            for problem in error.problems:
                words = "not reloaded, the old configuration stays in force: %s"
                log.error(words, problem, extra={"CODE": "reload_refused"})  # noqa: TRY400
            return
        except Exception:
            # The old options are complete and valid, so a bug in the reader must not end the watch.
            words = "not reloaded, the old configuration stays in force: reading the file failed"
            log.exception(words, extra={"CODE": "reload_refused"})
            return
        done = reload(self.file, new)
        self.file = done.config
        self._apply(self.current)
        log.info(
            "reloaded %s; changed: %s",
            *(self._path, ", ".join(done.changed) or "nothing"),
            extra={"CODE": "reloaded"},
        )
        if done.waiting:
            log.warning("takes effect at the next start only: %s", ", ".join(done.waiting))


def _with_threshold(decision: DecisionConfig, threshold: float) -> DecisionConfig:
    """Return ``decision`` with another threshold; ``release`` is never above it."""
    release = min(decision.release, threshold)
    return decision.model_copy(update={"threshold": threshold, "release": release})


def _threshold(text: str | None) -> float | None:
    """Return the threshold in ``text``, None if it is no number from 0 to 1."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
