"""The broker: can it be reached, does it let us in, and may we publish?"""

from __future__ import annotations

import os

from hivewatch.config.sections import Config
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.errors import ConfigError
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt.probe import Outcome, ProbeResult, probe

# Under the hive's own topics, so that it may go wherever alerts go, and nobody takes it for one.
_LEAF = "doctor"


def broker(config: Config) -> Finding:
    """Publish a probe under the hive's topics and read it back."""
    mqtt, hive = config.mqtt, config.hive
    if not mqtt.enabled:
        return warn("broker", "mqtt.enabled is false: nobody is told of a hornet", "set it to true")
    where = HiveTopics.of(config).topic(_LEAF)
    try:
        probed = probe(mqtt, f"hivewatch-{hive.id}-doctor-{os.getpid()}", where)
    except ConfigError as error:
        return fail("broker", str(error), "see `permissions`; or examine as root: `sudo hivewatch doctor`")
    return _in_words(probed, config, where)


def _in_words(probed: ProbeResult, config: Config, where: str) -> Finding:
    mqtt = config.mqtt
    broker, user = f"{mqtt.host}:{mqtt.port}", mqtt.username or "a client without a name"
    own = HiveTopics.of(config).topic("#")
    match probed.outcome:
        case Outcome.NO_ROUTE:
            found, advice = f"no way to {broker}", "check mqtt.host, the network, and a firewall between"
        case Outcome.REFUSED:
            found, advice = (
                f"{broker} refuses",
                "start the broker, check mqtt.port; does it listen beyond localhost?",
            )
        case Outcome.NO_BROKER:
            found, advice = f"{broker} is no MQTT broker that works", "check mqtt.host and mqtt.port"
        case Outcome.BAD_CREDENTIALS:
            found, advice = f"{broker} does not let {user} in", "check mqtt.username and mqtt.password_file"
        case Outcome.NOT_AUTHORISED:
            found = f"{broker} lets {user} in, but not publish to {where}"
            advice = f"let this user write and read {own} in the broker's access list"
        case Outcome.UNREADABLE:
            found = (
                f"{broker} took a message to {where} and did not give it back: nobody knows if alerts arrive"
            )
            return warn("broker", found, f"let {user} read and write {own} in the broker's access list")
        case Outcome.WORKS:
            return ok("broker", f"{broker} takes messages to {where} from {user} and gives them back")
    return fail("broker", f"{found} ({probed.detail})", f"{advice}; until then alerts wait on disk")
