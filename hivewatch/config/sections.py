"""The configuration: frozen sections, each option with its bounds and its default, which exist only here.

``config/hivewatch.yaml`` says in words what each option is for; a test holds it to the defaults below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Megabytes = Annotated[float, Field(gt=0, le=1e8)]
Days = Annotated[float, Field(gt=0, le=36_500)]
TimeLimit = Annotated[float, Field(gt=0, le=86_400)]
TopicPrefix = Annotated[str, Field(pattern=r"^[^#+/\x00-\x1f]+(/[^#+/\x00-\x1f]+)*$", max_length=200)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class HiveConfig(Section):
    """Which hive this is."""

    id: str = Field(default="hive1", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    name: str = Field(default="Hive 1", min_length=1, max_length=100)


class Picamera2Config(Section):
    """The Raspberry Pi's own camera."""

    index: int = Field(default=0, ge=0, le=7)
    rotate_180: bool = False


class VideoConfig(Section):
    """A USB camera, a network stream or a file."""

    source: str = Field(default="/dev/video0", min_length=1)
    reconnect_first_s: TimeLimit = 1.0
    reconnect_longest_s: TimeLimit = 60.0
    give_up_after_s: TimeLimit = 600.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.reconnect_first_s > self.reconnect_longest_s:
            raise ValueError("reconnect_first_s must not be longer than reconnect_longest_s")
        return self


class FolderConfig(Section):
    """Pictures in a folder, in the order of their names."""

    path: Path = Path()


class SimulatorConfig(Section):
    """A drawn hive entrance."""

    seed: int = Field(default=1, ge=0, le=2**32 - 1)
    bees: int = Field(default=12, ge=0, le=200)
    hornet_every_s: TimeLimit = 20.0
    hornet_stay_s: float = Field(default=10.0, gt=0, le=600)
    duration_s: Seconds = 0.0


class CameraChecksConfig(Section):
    """When the camera's pictures are taken for what they cannot be: a true and useful view of the hive."""

    enabled: bool = True
    raise_after_s: TimeLimit = 30.0
    moved_after_s: TimeLimit = 300.0
    clear_after_s: Seconds = 10.0
    dark_level: int = Field(default=32, ge=0, le=254)
    white_level: int = Field(default=250, ge=1, le=255)
    frozen_share: Share = 0.01
    covered_share: Share = 0.6
    moved_likeness: Share = 0.06
    slow_share: Share = 0.5
    reopenings: int = Field(default=3, ge=0, le=100)

    @model_validator(mode="after")
    def _levels_apart(self) -> Self:
        if self.dark_level >= self.white_level:
            raise ValueError("dark_level must be below white_level")
        return self


class CameraConfig(Section):
    """Where the frames come from."""

    kind: Literal["simulator", "picamera2", "video", "folder"] = "simulator"
    width_px: int = Field(default=1280, ge=64, le=8192)
    height_px: int = Field(default=720, ge=64, le=8192)
    rate_hz: float = Field(default=5.0, gt=0, le=120)
    timeout_s: TimeLimit = 10.0
    checks: CameraChecksConfig = CameraChecksConfig()
    picamera2: Picamera2Config = Picamera2Config()
    video: VideoConfig = VideoConfig()
    folder: FolderConfig = FolderConfig()
    simulator: SimulatorConfig = SimulatorConfig()

    @model_validator(mode="after")
    def _folder_is_named(self) -> Self:
        if self.kind == "folder" and self.folder.path == Path():
            raise ValueError("kind is folder, so folder.path must name one")
        return self


class MotionConfig(Section):
    """Which frames are worth classifying."""

    enabled: bool = True
    narrow: bool = True
    difference: int = Field(default=18, ge=1, le=255)
    changed_share: float = Field(default=0.0005, gt=0, le=1)
    hold_s: Seconds = 3.0
    look_anyway_s: TimeLimit = 30.0


class GateConfig(Section):
    """Which part of the picture is watched, and when."""

    watch: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    motion: MotionConfig = MotionConfig()


class ClassifierConfig(Section):
    """The model that tells a hornet from everything else."""

    model: Path | None = None
    precision: Literal["float", "int8"] = "float"
    threads: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.model is not None and self.precision != "float":
            raise ValueError("precision chooses between the released models; leave it out beside a model")
        return self


class DecisionConfig(Section):
    """When predictions amount to a sighting."""

    threshold: Share = 0.8
    release: Share = 0.65
    votes: int = Field(default=3, ge=1, le=20)
    out_of: int = Field(default=5, ge=1, le=20)
    window_s: TimeLimit = 10.0
    quiet_s: TimeLimit = 15.0
    cool_down_s: Seconds = 30.0
    update_gain: Share = 0.05
    update_every_s: Seconds = 5.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.release > self.threshold:
            raise ValueError("release must not be above threshold")
        if self.votes > self.out_of:
            raise ValueError("votes must not be more than out_of")
        return self


class StoreConfig(Section):
    """Where sightings are kept."""

    directory: Path = Path("/var/lib/hivewatch")
    jpeg_quality: int = Field(default=90, ge=30, le=100)
    retention_days: Days = 365.0
    largest_mb: Megabytes = 2000.0
    least_free_mb: Megabytes = 200.0


class OutboxConfig(Section):
    """How much may wait for the broker."""

    largest_mb: Megabytes = 200.0
    longest_days: Days = 30.0


class TlsConfig(Section):
    """How the connection to the broker is encrypted. Nothing skips the checks of its certificate."""

    enabled: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    alpn: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if not self.enabled and (self.ca_file or self.certificate_file or self.alpn):
            raise ValueError("enabled is false, so nothing would be encrypted: set it to true")
        return self


class MqttConfig(Section):
    """The broker that alerts go to."""

    enabled: bool = True
    host: str = Field(default="localhost", min_length=1)
    port: int = Field(default=1883, ge=1, le=65_535)
    version: Literal["3.1.1", 5] = "3.1.1"
    base_topic: TopicPrefix = "hivewatch"
    client_id: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    username: str = ""
    password_file: Path | None = None
    tls: TlsConfig = TlsConfig()
    commands: bool = False
    sighting_pictures: bool = False
    keepalive_s: int = Field(default=60, ge=5, le=3600)
    reconnect_longest_s: int = Field(default=120, ge=1, le=3600)
    acknowledge_timeout_s: TimeLimit = 30.0

    @model_validator(mode="after")
    def _credentials_go_together(self) -> Self:
        if self.password_file is not None and not self.username:
            raise ValueError("password_file needs a username beside it")
        return self


class PressureConfig(Section):
    """When visits become something to act upon. All figures are those of the last hour."""

    amber_sightings: int = Field(default=4, ge=1, le=10_000)
    amber_minutes: float = Field(default=3.0, gt=0, le=60)
    red_sightings: int = Field(default=12, ge=1, le=10_000)
    red_minutes: float = Field(default=15.0, gt=0, le=60)
    fall_share: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for figure in ("sightings", "minutes"):
            if getattr(self, f"amber_{figure}") > getattr(self, f"red_{figure}"):
                raise ValueError(f"amber_{figure} must not be above red_{figure}")
        return self


class HomeAssistantConfig(Section):
    """Whether the hive appears in Home Assistant by itself."""

    enabled: bool = False
    prefix: TopicPrefix = "homeassistant"
    version_topic: str = Field(default="", pattern=r"^[^#+\x00-\x1f]*$", max_length=200)


class HealthConfig(Section):
    """How often the daemon says how it is."""

    interval_s: float = Field(default=60.0, ge=1, le=86_400)
    summary_at: str = Field(default="21:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


class ClockConfig(Section):
    """When the machine's clock is believed."""

    wait_s: float = Field(default=600.0, ge=0, le=31_536_000)


class LogConfig(Section):
    """How much is said in the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section):
    """Everything a person can set."""

    hive: HiveConfig = HiveConfig()
    camera: CameraConfig = CameraConfig()
    gate: GateConfig = GateConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    decision: DecisionConfig = DecisionConfig()
    store: StoreConfig = StoreConfig()
    outbox: OutboxConfig = OutboxConfig()
    mqtt: MqttConfig = MqttConfig()
    pressure: PressureConfig = PressureConfig()
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    health: HealthConfig = HealthConfig()
    clock: ClockConfig = ClockConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _homeassistant_can_be_reached(self) -> Self:
        if self.homeassistant.enabled and not self.mqtt.enabled:
            raise ValueError("homeassistant.enabled needs mqtt.enabled")
        return self
