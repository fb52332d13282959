"""The configuration: frozen sections, one field for each option, with everything known about it.

Type, bounds, default, description and marks (restart, secret, path) are defined here and nowhere else.
``config/hivewatch.yaml`` is the manual; a test holds its defaults, its restart marks and its texts to this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hivewatch.config.base import (
    PATH,
    RESTART,
    Days,
    Megabytes,
    OptionalFile,
    Polygon,
    Seconds,
    Section,
    Share,
    TimeLimit,
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
from hivewatch.config.mqtt import MqttConfig, TlsConfig

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
    name: str = Field(
        default="Hive 1", min_length=1, max_length=100, description="Name for people, part of every alert."
    )


class MotionConfig(Section):
    """Which frames are worth classifying."""

    enabled: bool = Field(default=True, description="Classify only frames in which something moves.")
    narrow: bool = Field(
        default=True,
        description="Classify only the part of the watched area that moves, with a margin around it.",
    )
    difference: int = Field(
        default=18,
        ge=1,
        le=255,
        description="A pixel has changed if it differs from the background by this much, grey levels.",
    )
    changed_share: float = Field(
        default=0.0005,
        gt=0,
        le=1,
        description="Share of the watched area that must have changed to count as motion.",
    )
    hold_s: Seconds = Field(
        default=3.0, description="Keep classifying for this long after the last motion, seconds."
    )
    look_anyway_s: TimeLimit = Field(
        default=30.0, description="Classify a frame at least this often without any motion, seconds."
    )


class GateConfig(Section):
    """Which part of the picture is watched, and when."""

    watch: tuple[Polygon, ...] = Field(
        default=(), description="Polygons to watch, points [x, y] from 0 to 1; empty means the whole picture."
    )
    ignore: tuple[Polygon, ...] = Field(
        default=(), description="Polygons to ignore: moving grass, a path, a neighbour's hive."
    )
    motion: MotionConfig = MotionConfig()


class ClassifierConfig(Section):
    """The model that recognises a hornet."""

    model: OptionalFile = Field(
        default=None, description="TorchScript model file; left out, the released model is used."
    )
    precision: Literal["float", "int8"] = Field(
        default="float", description="Which released model to use: float or int8."
    )
    threads: int = Field(
        default=0, ge=0, le=64, description="Processor threads for the network; 0 lets PyTorch choose."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.model is not None and self.precision != "float":
            raise ValueError("precision chooses between the released models; leave it out beside a model")
        return self


class DecisionConfig(Section):
    """When predictions amount to a sighting."""

    threshold: Share = Field(
        default=0.8, description="A frame votes for a hornet at or above this score, 0 to 1."
    )
    release: Share = Field(
        default=0.65,
        description="During a sighting a frame votes for a hornet at or above this score, 0 to threshold.",
    )
    votes: int = Field(
        default=3, ge=1, le=20, description="A sighting starts with this many votes for a hornet."
    )
    out_of: int = Field(
        default=5, ge=1, le=20, description="Votes are counted over this many classified frames."
    )
    window_s: TimeLimit = Field(default=10.0, description="Votes older than this do not count, seconds.")
    quiet_s: TimeLimit = Field(
        default=15.0, description="A sighting ends after this long without enough votes, seconds."
    )
    cool_down_s: Seconds = Field(
        default=30.0, description="No sighting starts for this long after one has ended, seconds."
    )
    update_gain: Share = Field(
        default=0.05, description="A better picture is sent once the score has risen by this much."
    )
    update_every_s: Seconds = Field(
        default=5.0, description="Shortest time between two pictures of a sighting, seconds."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.release > self.threshold:
            raise ValueError("release must not be above threshold")
        if self.votes > self.out_of:
            raise ValueError("votes must not be more than out_of")
        return self


class StoreConfig(Section):
    """Where sightings are kept, and for how long."""

    directory: Annotated[Path, PATH, RESTART] = Field(
        default=Path("/var/lib/hivewatch"),
        description="Directory of the pictures, the database of sightings and the unsent alerts.",
    )
    jpeg_quality: int = Field(
        default=90, ge=30, le=100, description="JPEG quality of the pictures, 30 to 100."
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

    largest_mb: Megabytes = Field(default=200.0, description="Most that may wait for the broker, megabytes.")
    longest_days: Days = Field(default=30.0, description="Longest that a message may wait, days.")


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

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for figure in ("sightings", "minutes"):
            if getattr(self, f"amber_{figure}") > getattr(self, f"red_{figure}"):
                raise ValueError(f"amber_{figure} must not be above red_{figure}")
        return self


class HomeAssistantConfig(Section):
    """Whether the hive appears in Home Assistant automatically."""

    enabled: bool = Field(
        default=False, description="Announce the hive to Home Assistant as a device with its entities."
    )
    prefix: TopicPrefix = Field(default="homeassistant", description="Home Assistant's discovery prefix.")
    version_topic: str = Field(
        default="",
        pattern=r"^[^#+\x00-\x1f]*$",
        max_length=200,
        description="Topic on which something of yours publishes the newest version of hivewatch.",
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

    manual: ClassVar[str] = "config/hivewatch.yaml"

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

    @model_validator(mode="after")
    def _homeassistant_needs_mqtt(self) -> Self:
        if self.homeassistant.enabled and not self.mqtt.enabled:
            raise ValueError("homeassistant.enabled needs mqtt.enabled")
        return self
