"""Carries out commands on the data path, and publishes the settings they change."""

from __future__ import annotations

import logging
import math
from datetime import datetime, timedelta

from hivewatch.config.sections import Config
from hivewatch.daemon.commands import (
    Command,
    Inbox,
    Pause,
    RateLimit,
    RefusedCommands,
    Resume,
    SetThreshold,
    TakeSnapshot,
    name_of,
    parse,
)
from hivewatch.daemon.configuration import Configuration
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service
from hivewatch.domain.frames import Frame
from hivewatch.domain.status import Answer, Settings
from hivewatch.domain.wire import Message
from hivewatch.errors import CommandError, StoreError
from hivewatch.messages.contract import ANSWER
from hivewatch.messages.jpeg import encode_jpeg
from hivewatch.messages.states import answer_message, camera_snapshot_message, settings_messages
from hivewatch.messages.test_alert import test_alert_messages
from hivewatch.messages.topics import HiveTopics
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)


class ControlService(Service):
    """Carries out the commands in the ``inbox``; without an inbox it only publishes the settings.

    A pause does not survive a restart: a forgotten one would look like a watch without hornets.
    """

    def __init__(
        self,
        configuration: Configuration,
        loop: Loop,
        recorder: Recorder,
        clock: Clock,
        inbox: Inbox | None,
        *,
        live: bool,
    ) -> None:
        """Publish the settings. ``live``: this machine's clock dates the frames."""
        self._configuration = configuration
        self._topics = HiveTopics.of(configuration.current)
        self._loop = loop
        self._recorder = recorder
        self._publisher = recorder.publisher
        self._clock = clock
        self._live = live
        self._inbox = inbox
        self._rate_limit = RateLimit(clock.monotonic_s)
        self._refused = RefusedCommands(clock.monotonic_s)
        self._frame: Frame | None = None
        self._resume_at_s = math.inf
        self._dropped = 0
        self._publish_settings()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(
            paused=self._loop.paused,
            paused_until=self._paused_until(),
            threshold=self._configuration.current.decision.threshold,
            threshold_yaml=self._configuration.file.decision.threshold,
            commands_enabled=self._inbox is not None,
        )

    def configure(self, _config: Config) -> None:
        """Publish the new settings."""
        self._publish_settings()

    def on_clock_trusted(self) -> None:
        """Publish until when the loop is paused: only now is the time known."""
        self._publish_settings()

    def on_frame(self, step: Step) -> None:
        """Keep the frame for commands that need a picture, until the next tick."""
        self._frame = step.frame

    def tick(self, now_s: float) -> None:
        """Carry out what has arrived; raises StoreError like the store."""
        self._resume_if_due(now_s)
        self._refused.sum_up()
        if self._inbox is not None:
            self._carry_out_all(self._inbox)
        # A tick without a new frame is an outage, in which an old frame would pass for the current view.
        self._frame = None

    def _resume_if_due(self, now_s: float) -> None:
        if self._loop.paused and now_s >= self._resume_at_s:
            log.info("the pause is over")
            self._resume()

    def _carry_out_all(self, inbox: Inbox) -> None:
        while (message := inbox.take()) is not None:
            self._handle(message)
        if inbox.dropped > self._dropped:
            count, self._dropped = inbox.dropped - self._dropped, inbox.dropped
            self._answer(Answer("", None, False, f"{count} commands came too fast and were ignored"))

    def _handle(self, message: Message) -> None:
        leaf = self._topics.leaf(message.topic) or message.topic
        if leaf == ANSWER.leaf:  # our own
            return
        if message.retained:
            self._refused.note(f"ignored a retained message on {message.topic}: clear it on the broker")
            return
        if not self._rate_limit.allows_one():
            self._answer(Answer(name_of(leaf), None, False, "too many commands: at most one a second"))
            return
        try:
            command = parse(leaf, message.payload)
            result = self._carry_out(command)
        except CommandError as error:
            self._answer(Answer(name_of(leaf), error.id, False, f"{error}"))
        else:
            self._answer(Answer(name_of(leaf), command.id, True, result))

    def _carry_out(self, command: Command) -> str:
        """Return what was done; raises CommandError if it could not be done."""
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
                    return self._send_snapshot()
                case _:
                    return self._send_test_alert()
        except CommandError as error:
            raise CommandError(f"{error}", command.id) from error
        except StoreError as error:
            raise CommandError(f"cannot be done: {error}", command.id) from error

    def _pause(self, duration_s: float | None) -> str:
        self._resume_at_s = math.inf if duration_s is None else self._clock.monotonic_s() + duration_s
        self._loop.pause()
        self._publish_settings()
        return "paused until resumed" if duration_s is None else f"paused for {duration_s:g} s"

    def _resume(self) -> None:
        self._resume_at_s = math.inf
        self._loop.resume()
        self._publish_settings()

    def _set_threshold(self, value: float | None) -> str:
        self._configuration.set_threshold(value)
        threshold = self._configuration.current.decision.threshold
        return f"the threshold is {threshold:g}" + (", as configured" if value is None else "")

    def _send_snapshot(self) -> str:
        jpeg = encode_jpeg(self._latest_frame().pixels, self._configuration.current.store.jpeg_quality)
        message = camera_snapshot_message(jpeg, self._topics)
        self._publisher.publish_once(message)
        return f"the picture is on {message.topic}"

    def _send_test_alert(self) -> str:
        config = self._configuration.current
        messages = test_alert_messages(
            *(self._latest_frame(), self._topics, self._recorder.model),
            self._clock.stamp() if self._live else None,
            jpeg_quality=config.store.jpeg_quality,
            own_topic=config.mqtt.sighting_pictures,
            zone=config.hive.zone,
        )
        for message in messages:
            self._publisher.publish_once(message)
        return "a test alert was sent"

    def _latest_frame(self) -> Frame:
        if self._frame is None:
            raise CommandError("the camera delivers no picture at the moment")
        return self._frame

    def _answer(self, answer: Answer) -> None:
        text = f"command {answer.command!a}: {answer.message}"
        if answer.accepted:
            log.info("%s", text)
        else:
            self._refused.note(f"refused {text}")
        self._publisher.publish_once(answer_message(answer, self._clock.now(), self._topics))

    def _publish_settings(self) -> None:
        for message in settings_messages(self.settings, self._topics):
            self._publisher.publish_state(message)

    def _paused_until(self) -> datetime | None:
        if not self._loop.paused or self._resume_at_s == math.inf or not self._clock.trusted:
            return None
        return self._clock.now() + timedelta(seconds=self._resume_at_s - self._clock.monotonic_s())
