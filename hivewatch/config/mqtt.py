"""The section of the MQTT broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hivewatch.config.addresses import checked_host
from hivewatch.config.base import SECRET, Contradiction, OptionalFile, Section, TimeLimit, TopicPrefix

Host = Annotated[str, Field(min_length=1), AfterValidator(checked_host)]


class TlsConfig(Section):
    """How the connection to the broker is encrypted. No option skips the checks of its certificate."""

    enabled: bool = Field(
        default=False, description="Encrypt the connection and verify the broker's certificate and host name."
    )
    ca_file: OptionalFile = Field(
        default=None,
        description="Certificate of the authority that signed the broker's certificate, PEM.",
    )
    certificate_file: OptionalFile = Field(
        default=None, description="The hive's own certificate, PEM, if the broker asks for one."
    )
    key_file: OptionalFile = Field(
        default=None, description="Private key of certificate_file, PEM, without a pass phrase."
    )
    alpn: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(
        default=(), description="Protocols to offer in the handshake (ALPN)."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if (self.certificate_file is None) != (self.key_file is None):
            sentence = "certificate_file and key_file go together"
            yield Contradiction(("certificate_file", "key_file"), sentence)
        if not self.enabled and (self.ca_file or self.certificate_file or self.alpn):
            yield Contradiction(
                ("enabled", "ca_file", "certificate_file", "alpn"),
                "enabled is false, so nothing would be encrypted: set it to true",
            )


class MqttConfig(Section):
    """The broker that alerts go to."""

    enabled: bool = Field(default=True, description="Publish alerts to a broker.")
    host: Host = Field(default="localhost", description="Host name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65_535, description="Port of the broker.")
    version: Literal["3.1.1", 5] = Field(
        default="3.1.1", description="MQTT version: 3.1.1, which every broker speaks, or 5."
    )
    base_topic: TopicPrefix = Field(default="hivewatch", description="First part of every topic.")
    client_id: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        description="MQTT client id; empty means hivewatch-<hive.id>, plus a hash of an own base_topic.",
    )
    username: Annotated[str, SECRET] = Field(
        default="", repr=False, description="User name at the broker; empty connects without one."
    )
    password_file: OptionalFile = Field(
        default=None, description="File that contains the password on one line."
    )
    tls: TlsConfig = TlsConfig()
    commands: bool = Field(
        default=False,
        description="Accept commands: pause, resume, snapshot, threshold and test alert.",
    )
    sighting_pictures: bool = Field(
        default=False, description="Send each picture to .../sighting/<id>/snapshot as well."
    )
    keepalive_s: int = Field(default=60, ge=5, le=3600, description="MQTT keep-alive interval, seconds.")
    reconnect_longest_s: int = Field(
        default=120, ge=1, le=3600, description="Longest wait between two attempts to connect, seconds."
    )
    acknowledge_timeout_s: TimeLimit = Field(
        default=30.0,
        description="An alert the broker has not acknowledged after this long is sent again, seconds.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if self.password_file is not None and not self.username:
            yield Contradiction(("password_file", "username"), "password_file needs a username beside it")
