"""Checks the broker: whether it is reachable, accepts the login, and lets the hive publish."""

from __future__ import annotations

import secrets

from hivewatch.config.sections import Config
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.errors import ConfigError
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt.probe import Outcome, ProbeResult, probe

# Below the hive's own topics, so that the ACL treats it like an alert, but no subscriber takes it for one.
_LEAF = "doctor"


def check_broker(config: Config) -> Finding:
    """Publish a probe message under the hive's topics and read it back."""
    mqtt, hive = config.mqtt, config.hive
    if not mqtt.enabled:
        return warn("broker", "mqtt.enabled is false: no alerts are sent", "set it to true")
    probe_topic = HiveTopics.of(config).topic(_LEAF)
    try:
        probed = probe(mqtt, f"hivewatch-{hive.id}-doctor-{secrets.token_hex(4)}", probe_topic)
    except ConfigError as error:
        return fail("broker", str(error), "see `permissions`, or run as root: `sudo hivewatch doctor`")
    return _finding(probed, config, probe_topic)


def _finding(probed: ProbeResult, config: Config, probe_topic: str) -> Finding:
    mqtt = config.mqtt
    broker = f"{mqtt.host}:{mqtt.port}"
    # The name itself may be a secret: some brokers take a token as the user name.
    user = "mqtt.username" if mqtt.username else "a client without a user name"
    own = HiveTopics.of(config).topic("#")
    match probed.outcome:
        case Outcome.NO_ROUTE:
            found, advice = f"{broker} cannot be reached", "check mqtt.host, the network and any firewall"
        case Outcome.REFUSED:
            found = f"{broker} refuses the connection"
            advice = "start the broker, check mqtt.port, and make sure the broker listens beyond localhost"
        case Outcome.NO_BROKER:
            found, advice = f"{broker} is not a working MQTT broker", "check mqtt.host and mqtt.port"
        case Outcome.OTHER_VERSION:
            found = f"{broker} does not speak MQTT {mqtt.version}"
            advice = f"set mqtt.version to {'3.1.1' if mqtt.version == 5 else 5}"
        case Outcome.BAD_CREDENTIALS:
            found, advice = f"{broker} rejects {user}", "check mqtt.username and mqtt.password_file"
        case Outcome.NOT_AUTHORISED:
            found = f"{broker} accepts {user}, but forbids publishing to {probe_topic}"
            advice = f"allow {user} to write and read {own} in the broker's access list"
        case Outcome.UNREADABLE:
            found = (
                f"{broker} accepted a message to {probe_topic} but did not deliver it back:"
                " alerts may not arrive"
            )
            return warn("broker", found, f"allow {user} to read and write {own} in the broker's access list")
        case Outcome.WORKS:
            return ok("broker", f"{broker} accepts messages to {probe_topic} from {user} and delivers them")
    return fail("broker", f"{found} ({probed.detail})", f"{advice}; until then, alerts wait on disk")
