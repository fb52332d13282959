"""Errors hivewatch raises on purpose: one class for each decision a caller can take.

Every message says what is wrong, where, and what to do about it. ``exit_code`` is what the command line
ends with when nobody handles the error (README, "Exit codes").
"""


class HivewatchError(Exception):
    """Base of all errors that hivewatch raises on purpose."""

    exit_code = 1


class ConfigError(HivewatchError):
    """The configuration must be corrected by a person; starting again will not help."""

    exit_code = 3

    def __init__(self, problems: list[str]) -> None:
        """``problems``: every fault that was found, a sentence each, in the order of the file."""
        super().__init__("\n".join(problems))
        self.problems = problems


class CameraError(HivewatchError):
    """There is no picture to be had: no device, no frame in time, or nothing readable."""

    exit_code = 4


class ModelError(HivewatchError):
    """The model file is not one that hivewatch can run; it must be replaced."""

    exit_code = 5


class StoreError(HivewatchError):
    """Sightings cannot be kept: the disk is full, read-only, or not ours to write on."""

    exit_code = 6


class DiskFullError(StoreError):
    """There is no room left; what needs less of it may still be kept."""


class PublishError(HivewatchError):
    """What was recorded could not be handed to the broker; it is kept for the next try."""

    exit_code = 7


class CommandError(HivewatchError):
    """A command that came over MQTT is not one: its sender is told, and nothing changes."""

    def __init__(self, sentence: str, id_: str | None = None) -> None:
        """``id_``: what the sender calls the command, where that could be read."""
        super().__init__(sentence)
        self.id = id_


class DataError(HivewatchError):
    """The pictures given to train or evaluate on cannot be used as they are."""

    exit_code = 8
