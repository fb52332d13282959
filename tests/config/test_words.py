"""Every mistake says what is wrong and what to write, and repeats nothing that may be a password."""

from __future__ import annotations

import pytest

from hivewatch.config.reader import parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError


def problems(text: str) -> list[str]:
    """Return the problems in ``text``, [] if it is valid."""
    try:
        parse(text, Config, name="hive.yaml")
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        # The broker's address.
        (
            "mqtt: {host: mqtt://10.0.0.9}",
            "mqtt.host: write only the broker's name or address, without mqtt://",
        ),
        ("mqtt: {host: bees@10.0.0.9}", "without mqtt:// and without a user or password"),
        ("mqtt: {host: 'broker:1883'}", "the port has an option of its own: port"),
        ("mqtt: {host: 'a:1883'}", "the port has an option of its own: port"),
        ("mqtt: {host: '[::1]'}", "an IPv6 address is written without [ ]"),
        ("mqtt: {host: 'a:b:c'}", "is no IPv6 address, and a name contains no colon"),
        ("mqtt: {host: 'broker?x'}", "consists of letters, digits, points and -"),
        ("mqtt: {host: my broker}", "a broker's name contains no blank"),
        ("mqtt: {host: ''}", "mqtt.host: must not be empty"),
        ("mqtt: mqtt://10.0.0.9", "mqtt: is a section; the broker's name goes into mqtt.host"),
        ("mqtt: {base_topic: /home/bees}", "no / at its start or end, no two in a row, such as home/bees"),
        ("mqtt: {base_topic: bees/#}", "no + and no #"),
        ("mqtt: {client_id: my hive}", "may contain only letters without accents, digits, _ and -"),
        ("mqtt: {version: '5'}", "should be 3.1.1 or 5: write 5 without quotes"),
        (
            "mqtt: {password: x}",
            "write the password into a file of its own, and name the file as password_file",
        ),
        ("mqtt: {tls: {alpn: mqtt}}", "mqtt.tls.alpn: is a list: write its values in brackets"),
        # The camera.
        ("camera: {video: {source: 0}}", "is the number 0: write the device, source: /dev/video0"),
        ("camera: {video: {source: [0]}}", "camera.video.source: is a text: write it in quotes"),
        ("camera: {kind: usb}", "or simulator; write kind: video, and the device"),
        ("camera: {kind: RTSP}", "write kind: video, and the device, address or file as video.source"),
        ("camera: {kind: picam}", "write kind: picamera2"),
        ("camera: {kind: pictures}", "write kind: folder, and the folder as folder.path"),
        ("camera: {kind: folderr}", "write kind: folder, and the folder as folder.path"),
        ("camera: {kind: rtsp://10.0.0.9/}", "an address goes into video.source, with kind: video"),
        ("camera: {kind: 3}", "camera.kind: should be simulator, picamera2, video or folder, not 3"),
        ("camera: rtsp://10.0.0.9/", "camera: is a section; an address goes into camera.video.source"),
        ("camera: {video: rtsp://10.0.0.9/}", "camera.video: is a section; an address goes into"),
        ("camera: {source: /dev/video0}", "camera.source: unknown option here; it belongs to camera.video"),
        ("camera: [kind: video]", "camera: is a section, not a list: write its options without -"),
        # The hive.
        ("hive: {id: Birnbaum 1/ä}", "such as pear-tree-1; the name for people is hive.name"),
        ("hive: {id: 12}", 'hive.id: is a text, not 12: write it in quotes, "12"'),
        ("hive: {name: yes}", 'hive.name: is a text, not yes: write it in quotes, "yes"'),
        ("hive: {name: }", "hive.name: has no value: write one after the colon, or remove the line"),
        (f"hive: {{name: {'x' * 101}}}", "hive.name: may have at most 100 characters"),
        ("hive: {name: !x y}", "hive.name: cannot be read: put it in quotes if it is text"),
        (
            "hive: hive1",
            "hive: is a section: write its options below it, indented by two blanks; known: id, name",
        ),
        # Times and numbers.
        ("health: {summary_at: 21:00}", 'YAML takes 21:00 for a number: write it in quotes, "21:00"'),
        ("health: {summary_at: 9:00}", 'write it in quotes, "09:00"'),
        ("health: {summary_at: '9:00'}", 'write "09:00"'),
        ("health: {summary_at: '25:00'}", 'is a time of day from "00:00" to "23:59", in quotes'),
        ("health: {summary_at: 21}", 'is a time of day from "00:00" to "23:59", in quotes'),
        ("health: {summary_at: 24:00}", 'is a time of day from "00:00" to "23:59", in quotes'),
        ("store: {largest_mb: 2 GB}", "should be a number of megabytes, without a unit"),
        ("outbox: {longest_days: 12 h}", "should be a number of days, without a unit"),
        ("decision: {quiet_s: 1 min}", "should be a number of seconds, without a unit"),
        ("decision: {votes: 3 frames}", "should be a whole number, without a unit"),
        ("store: {largest_mb: 200 MB}", "should be a number: write 200, without the unit"),
        ("decision: {threshold: 0,8}", "a comma begins another option here: write a number with a point"),
        ("health: {interval_s: 1:30}", "YAML reads 1:30 as the number 90: write 90 if that is meant"),
        ("mqtt: {port: 010}", "YAML reads 010 as the number 8: write 10, without the 0 before it"),
        ("mqtt: {keepalive_s: 060}", "YAML reads 060 as the number 48: write 60, without the 0 before it"),
        ("mqtt: {port: 0x75B}", "YAML reads 0x75B as the number 1883: write 1883 if that is meant"),
        ("mqtt: {port: 0b11}", "YAML reads 0b11 as the number 3"),
        ("mqtt: {port: 1_883}", "YAML reads 1_883 as the number 1883"),
        ("health: {interval_s: 1:30.5}", "YAML reads 1:30.5 as the number 90.5"),
        ("health: {interval_s: 010.5}", "YAML reads 010.5 as the number 10.5: write 10.5"),
        ("gate: {watch: [[[0, 0], [00, 1], [1, 1]]]}", "gate.watch[0][1][0]: YAML reads 00 as the number 0"),
        ("mqtt: {port: 0o17}", "should be a whole number"),
        ("camera: {rate_hz: 1e3}", "should be a number"),
        ("camera: {rate_hz: .5e}", "should be a number"),
        ("camera: {rate_hz: on}", "should be a number, not on"),
        ("mqtt: {port: 9999999999999999999999}", "mqtt.port: must be at most 65535"),
        ("hive: {id: no}", 'hive.id: is a text, not no: write it in quotes, "no"'),
        ("hive: {name: 0x10}", 'hive.name: is a text, not 0x10: write it in quotes, "0x10"'),
        ("mqtt: {enabled: 1}", "should be true or false, without quotes, not 1"),
        ("mqtt: {enabled: y}", "should be true or false, without quotes"),
        ("log: {level: off}", "should be debug, info, warning or error, not off"),
        ("mqtt: {port: 70000}", "mqtt.port: must be at most 65535, not 70000"),
        ("mqtt: {port: 0}", "mqtt.port: must be at least 1, not 0"),
        ("camera: {rate_hz: 0}", "camera.rate_hz: must be above 0, not 0"),
        ("camera: {rate_hz: '5 Hz'}", "should be a number: write 5, without the unit"),
        ("mqtt: {port: '060'}", "should be a whole number: write 60, without quotes"),
        ("store: {largest_mb: '2,000'}", "should be a number: write it without the comma, or with a point"),
        ("decision: {threshold: '0,8'}", "should be a number: write 0.8, with a point"),
        ("decision: {threshold: 80}", "must be at most 1, not 80; for 80 % write 0.8"),
        ("decision: {threshold: 80 %}", "should be a number: write 0.8"),
        ("decision: {votes: 3.5}", "should be a whole number, not 3.5"),
        ("mqtt: {enabled: 'yes'}", "should be true or false, without quotes"),
        ("log: {level: warn}", "should be debug, info, warning or error; did you mean warning?"),
        # Polygons.
        ("gate: {watch: [[0.1, 0.3], [0.9, 0.3], [0.9, 0.9]]}", "gate.watch: brackets are missing"),
        ("gate: {ignore: [[[0, 0], [1, 0], [1, 1, 1]]]}", "gate.ignore[0][2]: a point is [x, y]"),
        ("gate: {watch: [[[0, 0], [1, 0]]]}", "gate.watch[0]: a polygon needs at least 3 points [x, y]"),
        ("gate: {watch: all}", "gate.watch: brackets are missing"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(text: str, sentence: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert sentence in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("rtsp://keeper:pass/word@10.0.0.9/s", "write / as %2F, ? as %3F, # as %23 and @ as %40"),
        ("rtsp://keeper:pass#word@10.0.0.9/s", "write / as %2F"),
        ("rtsp://keeper:pass?word@10.0.0.9/s", "write / as %2F"),
        ("rtsp://keeper:12/34@10.0.0.9/s", "an address has its host before the first /"),
        ("rtsp://keeper:word@10.0.0.9:port/s", "an address has a host or host:port"),
        ("rtsp://keeper:word@10.0.0.9:70000/s", "the port of an address is 1 to 65535"),
        ("rtsp://keeper:word@/s", "an address has a host or host:port"),
        ("rtsp://keeper:word", "an address has a host or host:port"),
        ("rt sp://10.0.0.9/s", "an address begins with its kind"),
        ("://10.0.0.9/s", "an address begins with its kind"),
        ("file:///srv/clip.mp4", "without file://"),
        (" rtsp://10.0.0.9/s", "begins or ends with a blank"),
        ("rtsp://keeper:a b@10.0.0.9/s", "an address contains no blank: write each as %20"),
    ],
)
def test_an_address_that_cannot_work_is_refused(address: str, sentence: str) -> None:
    (problem,) = problems(f"camera: {{kind: video, video: {{source: '{address}'}}}}")
    assert problem.startswith("hive.yaml:1: camera.video.source: ")
    assert sentence in problem


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://keeper:word@10.0.0.9:554/s",
        "rtsp://keeper:w@rd@cam.local/s",
        "rtsp://keeper:w%2Frd%40@cam/s",
        "http://127.0.0.1:8080/cam.mjpg?user=keeper&pwd=w@rd",
        "rtsp://10.0.0.2/user=admin_password=word_channel=1",
        "rtsp://[fe80::1]:554/s",
        "udp://@:1234",
        "http://köln.local/s",
    ],
)
def test_an_address_that_may_work_is_accepted(address: str) -> None:
    assert problems(f"camera: {{kind: video, video: {{source: '{address}'}}}}") == []


@pytest.mark.parametrize(
    "text",
    [
        "camera: {rate_hz: 0.50}",
        "camera: {rate_hz: .5}",
        "camera: {rate_hz: 5.}",
        "camera: {rate_hz: 1.5e+1}",
        "camera: {rate_hz: +5}",
        "mqtt: {enabled: no}",
        "health: {interval_s: 60}",
        "hive: {name: 2020-01-01}",
        "hive: {name: !!str 010}",
        "mqtt: {password_file: ~}",
    ],
)
def test_what_means_what_it_says_is_accepted(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    "text", ["mqtt: {host: '::1'}", "mqtt: {host: broker.local}", "health: {summary_at: '09:00'}"]
)
def test_what_looks_odd_but_is_right_is_accepted(text: str) -> None:
    assert problems(text) == []


SECRET = "GEHEIM123"


@pytest.mark.parametrize(
    "text",
    [
        f"mqtt: {{host: 'mqtt://keeper:{SECRET}@10.0.0.9'}}",
        f"mqtt: mqtt://keeper:{SECRET}@10.0.0.9",
        f"mqtt: {SECRET}",
        f"mqtt: {{username: [{SECRET}]}}",
        f"mqtt: {{username: *{SECRET}}}",
        f"mqtt: {{username: !{SECRET} x}}",
        f"mqtt: {{username: &{SECRET}}}",
        f"mqtt: {{username: bees\n  password: {SECRET}",
        f"mqtt: {{password_file: {SECRET}, username: bees}}",
        f"mqtt: {{password_file: '{SECRET * 1000}', username: bees}}",
        f"mqtt: {{password: {SECRET}}}",
        f"mqtt:\n  password:{SECRET}\n  port: 1",
        f"mqtt: {{user:{SECRET}}}",
        f'mqtt:\n  username: "{SECRET}\n  port: 1\n',
        f"camera: rtsp://keeper:{SECRET}@10.0.0.9/stream1",
        f"camera: {{kind: 'rtsp://keeper:{SECRET}@10.0.0.9/stream1'}}",
        f"camera: {{video: 'rtsp://keeper:{SECRET}@10.0.0.9/stream1'}}",
        f"camera: {{video: {{'rtsp://keeper:{SECRET}@10.0.0.9/': }}}}",
        f"camera: {{video: {{source: ['rtsp://keeper:{SECRET}@10.0.0.9/']}}}}",
        f"camera: {{rate_hz: 'rtsp://keeper:{SECRET}@10.0.0.9/'}}",
        f"camera:\n  video:\n    source:rtsp://keeper:{SECRET}@10.0.0.9/\n    give_up_after_s: 5",
        f"rtsp://keeper:{SECRET}@10.0.0.9/stream1",
        f"source:rtsp://keeper:{SECRET}@10.0.0.9/: [",
    ],
)
def test_a_password_is_never_repeated(text: str) -> None:
    found = problems(text)
    assert found
    assert SECRET not in "\n".join(found)


def test_mistakes_in_values_and_between_options_are_reported_together() -> None:
    """Also those of a section with other mistakes, as far as the options concerned are known."""
    found = problems(
        """\
camera:
  rate_hz: fast
  kind: folder
decision:
  votes: 9
  window_s: -1
  release: 0.9
mqtt:
  enabled: false
  port: 0
  password_file: /dev/null
  tls: {ca_file: /nowhere}
homeassistant: {enabled: true}
pressure: {amber_sightings: 50, amber_minutes: 20}
unknown: 1
"""
    )
    expected = [
        (2, "camera.rate_hz: should be a number"),
        (3, "camera.kind: kind is folder, so folder.path must name one"),
        (5, "decision.votes: votes must not be more than out_of (votes is 9, out_of is 5 by default)"),
        (6, "decision.window_s: must be above 0"),
        (
            7,
            "decision.release: release must not be above threshold (release is 0.9, threshold is 0.8 by",
        ),
        (10, "mqtt.port: must be at least 1"),
        (11, "mqtt.password_file: no such file"),
        (11, "mqtt.password_file: password_file needs a username"),
        (12, "mqtt.tls.ca_file: enabled is false, so nothing would be encrypted"),
        (12, "mqtt.tls.ca_file: no such file; a relative path"),
        (13, "homeassistant.enabled: homeassistant.enabled needs mqtt.enabled"),
        (14, "pressure.amber_minutes: amber_minutes must not be above red_minutes"),
        (14, "pressure.amber_sightings: amber_sightings must not be above red_sightings"),
        (15, "...: unknown option"),
    ]
    assert len(found) == len(expected), found
    for problem, (line, words) in zip(found, expected, strict=True):
        assert problem.startswith(f"hive.yaml:{line}: {words}")


@pytest.mark.parametrize(
    "text",
    [
        "decision: {votes: nine, out_of: 2}",
        "decision: {relase: 0.5, threshold: 0.6}",
        "camera: {kind: folder, folder: {path: 5}}",
        "homeassistant: {enabled: true}\nmqtt: off",
    ],
)
def test_an_option_at_fault_contradicts_no_other(text: str) -> None:
    """Its value is not known, and its default is not what was meant."""
    assert len(problems(text)) == 1
