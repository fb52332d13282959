"""The configuration: frozen sections, one field for each option, with everything known about it.

Type, bounds, default, description and marks (restart, secret, path) are defined here and nowhere else.
``config/hivewatch.yaml`` is the manual; a test holds its defaults, its restart marks and its texts to this.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator

from hivewatch.config.addresses import checked_public
from hivewatch.config.base import (
    PATH,
    RESTART,
    Contradiction,
    Days,
    Megabytes,
    Polygon,
    Section,
    Share,
    TopicPrefix,
)
from hivewatch.config.camera import (
    CameraChecksConfig,
    CameraConfig,
    FolderConfig,
    Picamera2Config,
    SimulatorConfig,
    VideoConfig,
)
from hivewatch.config.coverage import too_little
from hivewatch.config.mqtt import MqttConfig, TlsConfig
from hivewatch.config.vision import ClassifierConfig, DecisionConfig, GateConfig, MotionConfig

__all__ = [
    "CameraChecksConfig",
    "CameraConfig",
    "ClassifierConfig",
    "ClockConfig",
    "Config",
    "DecisionConfig",
    "FolderConfig",
    "GateConfig",
    "HealthConfig",
    "HiveConfig",
    "HomeAssistantConfig",
    "LogConfig",
    "MotionConfig",
    "MqttConfig",
    "OutboxConfig",
    "Picamera2Config",
    "Polygon",
    "PressureConfig",
    "Section",
    "Share",
    "SimulatorConfig",
    "StoreConfig",
    "TlsConfig",
    "VideoConfig",
]


class HiveConfig(Section):
    """Which hive this is."""

    id: str = Field(
        default="hive1",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Short name of the hive in topics: letters, digits, _ and -.",
    )
    name: Annotated[str, AfterValidator(checked_public)] = Field(
        default="Hive 1", min_length=1, max_length=100, description="Name for people, part of every alert."
    )
    time_zone: str = Field(
        default="",
        description="Time zone of the hive, such as Europe/Paris; empty means that of the machine.",
    )

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            ZoneInfo(name or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                "no such time zone: use one of `timedatectl list-timezones`, or leave it empty"
            ) from error
        return name

    @property
    def zone(self) -> tzinfo | None:
        """The time zone; None for that of the machine."""
        return ZoneInfo(self.time_zone) if self.time_zone else None


class StoreConfig(Section):
    """Where sightings are kept, and for how long."""

    directory: Annotated[Path, PATH, RESTART] = Field(
        default=Path("/var/lib/hivewatch"),
        description="Directory of the pictures, the database of sightings and the unsent alerts.",
    )
    jpeg_quality: int = Field(
        default=90, ge=30, le=100, description="JPEG quality of the pictures, 30 to 100."
    )
    heat: bool = Field(
        default=False, description="Show the network's activation map beside the close-up in the snapshot."
    )
    retention_days: Annotated[Days, RESTART] = Field(
        default=365.0, description="Sightings that have been sent are removed after this many days."
    )
    largest_mb: Annotated[Megabytes, RESTART] = Field(
        default=2000.0,
        description="Above this size of the store the oldest sent sightings are removed, megabytes.",
    )
    least_free_mb: Annotated[Megabytes, RESTART] = Field(
        default=200.0,
        description="Below this free space on the disk the oldest sent sightings are removed, megabytes.",
    )


class OutboxConfig(Section):
    """How much may wait for the broker."""

    largest_mb: Megabytes = Field(
        default=200.0, description="Largest size of the messages waiting for the broker, megabytes."
    )
    longest_days: Days = Field(default=30.0, description="Longest time that a message may wait, days.")


class PressureConfig(Section):
    """When visits become something to act upon. All figures are those of the last hour."""

    amber_sightings: int = Field(
        default=4, ge=1, le=10_000, description="Amber at this many visits in the last hour."
    )
    amber_minutes: float = Field(
        default=3.0, gt=0, le=60, description="Amber at this many minutes of presence in the last hour."
    )
    red_sightings: int = Field(
        default=12, ge=1, le=10_000, description="Red at this many visits in the last hour."
    )
    red_minutes: float = Field(
        default=15.0, gt=0, le=60, description="Red at this many minutes of presence in the last hour."
    )
    fall_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="A level falls once both figures are below this share of its thresholds.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        for figure in ("sightings", "minutes"):
            amber, red = f"amber_{figure}", f"red_{figure}"
            if getattr(self, amber) > getattr(self, red):
                yield Contradiction((amber, red), f"{amber} must not be above {red}")


class HomeAssistantConfig(Section):
    """Whether the hive appears in Home Assistant automatically."""

    enabled: bool = Field(
        default=False, description="Announce the hive to Home Assistant as a device with its entities."
    )
    prefix: TopicPrefix = Field(default="homeassistant", description="Home Assistant's discovery prefix.")
    version_topic: Annotated[str, AfterValidator(checked_public)] = Field(
        default="",
        pattern=r"^[^#+\x00-\x1f]*$",
        max_length=200,
        description="Topic on which a program of yours publishes the newest version of hivewatch.",
    )


class HealthConfig(Section):
    """How often the daemon reports its health."""

    interval_s: float = Field(
        default=60.0, ge=1, le=86_400, description="Interval between two health documents, seconds."
    )
    summary_at: str = Field(
        default="21:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description='Local time of the daily summary: "HH:MM", in quotes.',
    )


class ClockConfig(Section):
    """When the machine's clock is trusted."""

    wait_s: float = Field(
        default=600.0,
        ge=0,
        le=31_536_000,
        description="Longest wait after boot for the clock to be synchronised, seconds.",
    )


class LogConfig(Section):
    """How much is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )


class Config(Section):
    """Everything a person can set."""

    manual: ClassVar[str] = "the manual (`hivewatch help manual`), or write one with `hivewatch init`"

    hive: Annotated[HiveConfig, RESTART] = HiveConfig()
    camera: Annotated[CameraConfig, RESTART] = CameraConfig()
    gate: GateConfig = GateConfig()
    classifier: Annotated[ClassifierConfig, RESTART] = ClassifierConfig()
    decision: DecisionConfig = DecisionConfig()
    store: StoreConfig = StoreConfig()
    outbox: Annotated[OutboxConfig, RESTART] = OutboxConfig()
    mqtt: Annotated[MqttConfig, RESTART] = MqttConfig()
    pressure: PressureConfig = PressureConfig()
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    health: HealthConfig = HealthConfig()
    clock: Annotated[ClockConfig, RESTART] = ClockConfig()
    log: LogConfig = LogConfig()

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between options of different sections."""
        if self.homeassistant.enabled and not self.mqtt.enabled:
            yield Contradiction(
                ("homeassistant.enabled", "mqtt.enabled"), "homeassistant.enabled needs mqtt.enabled"
            )
        gate, camera, decision = self.gate, self.camera, self.decision
        if decision.votes > 1 + decision.window_s * camera.rate_hz:
            names = ("decision.votes", "decision.window_s", "camera.rate_hz")
            sentence = (
                "votes can never be reached: window_s is too short for so many frames at camera.rate_hz,"
                " so no hornet would be reported; raise rate_hz or window_s, or lower votes"
            )
            yield Contradiction(names, sentence)
        if words := too_little(gate.watch, gate.ignore, camera.width_px, camera.height_px):
            yield Contradiction(("gate.watch", "gate.ignore"), words)
