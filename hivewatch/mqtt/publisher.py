"""The publisher: sends states, one-shot messages and the outbox to the broker, in a thread of its own.

Other threads talk to it through its mailbox. Its thread runs one session after another and waits between
them, with exponential back-off, for as long as the broker cannot be reached.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from functools import partial

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.redaction import summary
from hivewatch.domain.wire import Envelope, Message
from hivewatch.errors import HivewatchError, PublishError, UnwantedPacketError
from hivewatch.mqtt import failures, waiting
from hivewatch.mqtt.connection import Connection, HandshakeError, OnMessage, no_envelope
from hivewatch.mqtt.credentials import read_credentials
from hivewatch.mqtt.losses import GivenUpError, Losses
from hivewatch.mqtt.mailbox import Mailbox
from hivewatch.mqtt.monitor import Monitor
from hivewatch.mqtt.publishing import Publishing
from hivewatch.mqtt.refusals import Refusals
from hivewatch.mqtt.session import Outbox, Session

FIRST_RECONNECT_S = 1.0
VERSION_TIMEOUT_S = 1.0
"""So long may a broker take to accept the other version of MQTT: a stop waits for it."""
LASTING_PAUSES = 2
"""A connection has lasted if it outlives so many of the longest pauses between two attempts.

One pause would not do: two hives with one client id end each other's connections, each after its own pause.
"""

log = logging.getLogger(__name__)


class Publisher(Publishing):
    """Publishes the outbox in order, each message at least once, however long that takes.

    ``availability`` holds an online and an offline message: the first is sent after connecting, the second
    before disconnecting, and by the broker (last will) if the connection breaks.
    """

    def __init__(
        self,
        config: MqttConfig,
        outbox: Outbox,
        client_id: str,
        availability: tuple[Message, Message] | None = None,
        envelope: Callable[[Message], Envelope] = no_envelope,
    ) -> None:
        """Read password and certificates; raises ConfigError if they cannot be read. Connects to nothing yet.

        ``envelope`` returns the MQTT 5 properties of a message.
        """
        broker = f"{config.host}:{config.port}"
        self._config = config
        self._credentials = read_credentials(config)
        self._client_id = client_id
        self._outbox = outbox
        self._availability = availability
        self._envelope = envelope
        self._mailbox = Mailbox()
        self._monitor = Monitor(broker, client_id, LASTING_PAUSES * config.reconnect_longest_s)
        self._refusals = Refusals(broker)
        self._losses = Losses()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def delivers(self) -> bool:
        """True: messages are sent once the broker can be reached."""
        return True

    @property
    def connections(self) -> int:
        """How many connections to the broker were made."""
        return self._monitor.connections

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""
        return self._monitor.is_connected

    @property
    def is_stuck(self) -> bool:
        """Whether the publisher's thread hangs, so that nothing is sent."""
        return self._monitor.is_stuck

    def start(self) -> None:
        """Start to connect and to publish."""
        self._monitor.note_step()
        self._thread.start()

    def wake(self) -> None:
        """Send what is new in the outbox now."""
        self._mailbox.wake()

    def publish_state(self, message: Message) -> None:
        """Send ``message`` now and after each reconnect, until another replaces it on its topic."""
        self._mailbox.put_state(message)

    def publish_once(self, message: Message) -> None:
        """Send ``message`` once, soon; it may be lost."""
        self._mailbox.put_one_shot(message)

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        """Call ``on_message``, in the publisher's thread, for each message on ``topic`` (+ and # allowed)."""
        self._mailbox.subscribe(topic, on_message)

    def repeat_states(self) -> None:
        """Send every state again."""
        self._mailbox.request_repeat()

    def check(self) -> None:
        """Raise the error that ended the publisher's thread, if any; only ``stop`` may end it."""
        if isinstance(self._error, HivewatchError):
            raise self._error
        if self._error is not None:
            raise PublishError(f"the publisher failed unexpectedly: {summary(self._error)}") from self._error
        if not (self._thread.is_alive() or self._mailbox.is_stop_requested):
            raise PublishError("the publisher's thread ended without being stopped")

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything recorded so far is acknowledged; return False if that takes too long."""
        return self._mailbox.request_drain().wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Send what there is time for, say offline and disconnect; the rest goes out at the next start.

        Returns after ``timeout_s`` at the latest, and at once if there is no connection.
        """
        self._mailbox.request_stop(timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("the connection to the broker did not end within %g s: abandoned", timeout_s)
            return
        self._mailbox.close()

    def _run(self) -> None:
        try:
            while not self._mailbox.is_stop_requested:
                try:
                    self._run_session()
                except PublishError as error:
                    reason = self._other_version(error) or str(error)
                    self._monitor.note_failure(reason, is_mended=isinstance(error, GivenUpError))
                    pause_s = self._back_off_s()
                    self._monitor.note_step(pause_s)
                    self._mailbox.wait_for_stop(pause_s)
        except Exception as error:
            log.exception("the publisher failed", extra={"CODE": "publisher_failed"})
            self._error = error

    def _other_version(self, error: PublishError) -> str:
        """Return that the broker speaks only the other version of MQTT, "" if that is not the reason."""
        is_about_version = isinstance(error, HandshakeError) or failures.is_about_version(f"{error}")
        if not is_about_version or self._mailbox.is_stop_requested:
            return ""
        version = "3.1.1" if self._config.version == 5 else 5
        config = self._config.model_copy(update={"version": version})
        connection = Connection(config, f"{self._client_id}-test", self._credentials)
        try:
            waiting.connect(connection, VERSION_TIMEOUT_S, partial(connection.run_once, None))
            connection.disconnect()
        except PublishError:
            return ""
        finally:
            connection.close()
        return failures.only_speaks(version)

    def _note_unwanted(self, error: UnwantedPacketError) -> None:
        self._losses.note_unwanted()
        if self._mailbox.subscriptions and not self._losses.may_subscribe:
            log.error(
                "no commands are received for an hour: they may be what ended the connection twice (%s);"
                " clear the retained messages on the hive's command topics",
                error,
                extra={"CODE": "commands_off"},
            )

    def _run_session(self) -> None:
        """Publish over one connection until a stop; raises PublishError if the connection is lost."""
        will = self._availability[1] if self._availability is not None else None
        connection = Connection(self._config, self._client_id, self._credentials, will, self._envelope)
        session = Session(
            connection,
            self._mailbox,
            self._outbox,
            availability=self._availability,
            acknowledge_timeout_s=self._config.acknowledge_timeout_s,
            monitor=self._monitor,
            refusals=self._refusals,
            losses=self._losses,
        )
        try:
            session.run()
        except UnwantedPacketError as error:
            if connection.is_accepted:  # otherwise nothing has been subscribed to
                self._note_unwanted(error)
            raise
        finally:
            self._monitor.is_connected = False
            connection.close()

    def _back_off_s(self) -> float:
        """Return how long to wait before the next attempt: exponential back-off with jitter."""
        doubled_s = FIRST_RECONNECT_S * 2.0 ** min(self._monitor.failures_in_a_row - 1, 12)
        return random.uniform(0.5, 1.0) * min(doubled_s, self._config.reconnect_longest_s)
