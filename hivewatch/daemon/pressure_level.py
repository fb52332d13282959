"""From the last hour's visits to a pressure level that a beekeeper can act on: thresholds with hysteresis."""

from __future__ import annotations

from hivewatch.config.sections import PressureConfig
from hivewatch.domain.sightings import Presence, PressureLevel

_ORDER = tuple(PressureLevel)


def next_level(config: PressureConfig, current: PressureLevel, hour: Presence) -> PressureLevel:
    """Return the level that follows ``current``, given the presence in the last ``hour``.

    It rises as soon as a figure reaches a threshold, and falls once both are below ``fall_share`` of it.
    """
    risen, kept = _reached(config, hour, 1.0), _reached(config, hour, config.fall_share)
    return max(risen, min(current, kept, key=_ORDER.index), key=_ORDER.index)


def _reached(config: PressureConfig, hour: Presence, share: float) -> PressureLevel:
    minutes = hour.seconds / 60
    if hour.sightings >= share * config.red_sightings or minutes >= share * config.red_minutes:
        return PressureLevel.RED
    if hour.sightings >= share * config.amber_sightings or minutes >= share * config.amber_minutes:
        return PressureLevel.AMBER
    return PressureLevel.GREEN
