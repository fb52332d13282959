"""Errors that hivewatch raises on purpose: one class for each decision a caller can take.

Every message says what is wrong, where, and what to do about it. ``exit_code`` is that of the command line
if nothing handles the error (README, "Commands and exit codes").
"""


class HivewatchError(Exception):
    """Base of all errors that hivewatch raises on purpose."""

    exit_code = 1


class ConfigError(HivewatchError):
    """A person must correct the configuration; restarting does not help."""

    exit_code = 3

    def __init__(self, problems: list[str]) -> None:
        """``problems``: one sentence for each mistake, in the order of the file."""
        super().__init__("\n".join(problems))
        self.problems = problems


class CameraError(HivewatchError):
    """There is no picture: no device, no frame in time, or nothing readable."""

    exit_code = 4


class ModelError(HivewatchError):
    """hivewatch cannot run the model file; it must be replaced."""

    exit_code = 5


class StoreError(HivewatchError):
    """Sightings cannot be stored: the disk is full, read-only, or not writable for this user."""

    exit_code = 6


class DiskFullError(StoreError):
    """The disk is full; something smaller may still fit."""


class PublishError(HivewatchError):
    """A message could not be delivered to the broker; it is kept for the next attempt."""

    exit_code = 7


class UnwantedPacketError(PublishError):
    """The broker has sent what no hive asks for or what is not MQTT, and the connection was dropped."""


class CommandError(HivewatchError):
    """A message is not a valid command, or it cannot be carried out; it is answered with the reason."""

    def __init__(self, reason: str, id_: str | None = None) -> None:
        """``id_``: the sender's id of the command, if it could be read."""
        super().__init__(reason)
        self.id = id_


class DataError(HivewatchError):
    """The pictures cannot be used for training or evaluation as they are."""

    exit_code = 8


class MissingExtraError(HivewatchError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 9
