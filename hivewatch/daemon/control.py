"""Carries out commands, on the data path, and tells what is set."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hivewatch.config.sections import Config, DecisionConfig
from hivewatch.daemon.commands import (
    Allowance,
    Command,
    Inbox,
    Pause,
    Resume,
    SetThreshold,
    TakeSnapshot,
    name_of,
    read,
)
from hivewatch.daemon.loop import Watch
from hivewatch.daemon.recorder import Recorder
from hivewatch.domain.frames import Frame
from hivewatch.domain.status import Answer, Settings
from hivewatch.domain.wire import Message
from hivewatch.errors import CommandError, StoreError
from hivewatch.messages.alert import encode_jpeg
from hivewatch.messages.documents import topic
from hivewatch.messages.states import answer_message, settings_messages, view_message
from hivewatch.messages.test_alert import alert_for_test
from hivewatch.store.notes import Note
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Control:
    """What a command can change, and where it came from. Without an ``inbox`` nothing is heard.

    A pause does not outlast a restart: a watch that was forgotten would look like one without hornets. The
    threshold does, and with commands switched off that of the configuration is in force again.
    """

    config: Config
    watch: Watch
    recorder: Recorder
    clock: Clock
    inbox: Inbox | None
    _note: Note = field(init=False)
    _kept: float | None = field(init=False, default=None)
    _allowance: Allowance = field(init=False)
    _resume_at_s: float = math.inf
    _dropped: int = 0

    def __post_init__(self) -> None:
        """Read what was set before; raises StoreError like the store."""
        self._note = Note(self.recorder.store.directory, "threshold")
        self._allowance = Allowance(self.clock.monotonic_s)
        kept = _number(self._note.read())
        if self.inbox is not None:
            self._kept = kept
        elif kept is not None:
            log.warning("the threshold %g set by a command is not in force: mqtt.commands is off", kept)
        self.configure(self.config)

    def configure(self, config: Config) -> None:
        """Take over another configuration; a threshold set by a command stays in force."""
        self.config = config
        self.watch.decider.configure(_with_threshold(config.decision, self._threshold))
        self.tell()

    @property
    def settings(self) -> Settings:
        """What is set now."""
        return Settings(
            paused=self.watch.paused,
            paused_until=self._paused_until(),
            threshold=self._threshold,
            threshold_yaml=self.config.decision.threshold,
            commands_enabled=self.inbox is not None,
        )

    def tell(self) -> None:
        """Publish what is set."""
        if self.recorder.publisher is not None:
            for message in settings_messages(self.settings, self.config.hive, self.config.mqtt.base_topic):
                self.recorder.publisher.state(message)

    def look(self, frame: Frame | None) -> None:
        """Do what has come since the last time; ``frame`` is the latest, None while none comes."""
        if self.watch.paused and self.clock.monotonic_s() >= self._resume_at_s:
            log.info("the pause is over")
            self._resume()
        if self.inbox is None:
            return
        while (message := self.inbox.take()) is not None:
            self._hear(message, frame)
        if self.inbox.dropped > self._dropped:
            count, self._dropped = self.inbox.dropped - self._dropped, self.inbox.dropped
            self._answer(Answer("", None, False, f"{count} commands came too fast and were not looked at"))

    def _hear(self, message: Message, frame: Frame | None) -> None:
        config = self.config
        leaf = message.topic.removeprefix(topic(config.mqtt.base_topic, config.hive.id, ""))
        if leaf == "command/answer":  # our own
            return
        if message.retained:
            log.warning("a retained message on %s is no command: clear it on the broker", message.topic)
            return
        if not self._allowance.use():
            self._answer(Answer(name_of(leaf), None, False, "too many commands: at most one a second"))
            return
        try:
            command = read(leaf, message.payload)
            sentence = self._carry_out(command, frame)
        except CommandError as error:
            self._answer(Answer(name_of(leaf), error.id, False, f"{error}"))
        else:
            self._answer(Answer(name_of(leaf), command.id, True, sentence))

    def _carry_out(self, command: Command, frame: Frame | None) -> str:
        """Return what was done; raises CommandError where that could not be."""
        try:
            match command:
                case Pause():
                    return self._pause(command.duration_s)
                case Resume():
                    self._resume()
                    return "watching"
                case SetThreshold():
                    return self._set_threshold(command.value)
                case TakeSnapshot():
                    return self._send_view(_needed(frame))
                case _:
                    return self._send_test(_needed(frame))
        except CommandError as error:
            raise CommandError(f"{error}", command.id) from error
        except StoreError as error:
            raise CommandError(f"cannot be done: {error}", command.id) from error

    def _pause(self, duration_s: float | None) -> str:
        self._resume_at_s = math.inf if duration_s is None else self.clock.monotonic_s() + duration_s
        self.watch.pause()
        self.tell()
        return "paused until resumed" if duration_s is None else f"paused for {duration_s:g} s"

    def _resume(self) -> None:
        self._resume_at_s = math.inf
        self.watch.paused = False
        self.tell()

    def _set_threshold(self, value: float | None) -> str:
        if value is None:
            self._note.remove()
        else:
            self._note.write(f"{value!r}")
        self._kept = value
        self.configure(self.config)
        return f"the threshold is {self._threshold:g}" + (", as configured" if value is None else "")

    def _send_view(self, frame: Frame) -> str:
        config = self.config
        jpeg = encode_jpeg(frame.pixels, config.store.jpeg_quality)
        message = view_message(jpeg, config.hive, config.mqtt.base_topic)
        self._remark(message)
        return f"the picture is on {message.topic}"

    def _send_test(self, frame: Frame) -> str:
        stamp = None if self.recorder.clock is None else self.recorder.clock.stamp()
        for message in alert_for_test(frame, self.config, self.recorder.model, stamp):
            self._remark(message)
        return "a test alert was sent"

    def _answer(self, answer: Answer) -> None:
        level = logging.INFO if answer.accepted else logging.WARNING
        log.log(level, "command %s: %s", ascii(answer.command), answer.message)
        self._remark(answer_message(answer, self.clock.now(), self.config.hive, self.config.mqtt.base_topic))

    def _remark(self, message: Message) -> None:
        if self.recorder.publisher is not None:
            self.recorder.publisher.remark(message)

    @property
    def _threshold(self) -> float:
        return self.config.decision.threshold if self._kept is None else self._kept

    def _paused_until(self) -> datetime | None:
        if not self.watch.paused or self._resume_at_s == math.inf or not self.clock.trusted:
            return None
        return self.clock.now() + timedelta(seconds=self._resume_at_s - self.clock.monotonic_s())


def _with_threshold(decision: DecisionConfig, threshold: float) -> DecisionConfig:
    """Return ``decision`` with another threshold; what keeps a sighting open is never above what opens it."""
    release = min(decision.release, threshold)
    return decision.model_copy(update={"threshold": threshold, "release": release})


def _needed(frame: Frame | None) -> Frame:
    if frame is None:
        raise CommandError("the camera gives no picture just now")
    return frame


def _number(text: str) -> float | None:
    """Return the threshold in ``text``, None where there is none that could be in force."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
