"""The commands, their options and help texts. Imports nothing expensive, so that --help answers at once."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from hivewatch import __version__
from hivewatch.cli import commands
from hivewatch.cli.replay import replay_files
from hivewatch.cli.training import add_commands
from hivewatch.cli.watch import watch_fleet

INSTALLED_CONFIG = Path("/etc/hivewatch/hivewatch.yaml")
EXIT_CODES = """\
exit codes:
  0    success
  1    internal error
  2    wrong command line
  3    invalid configuration
  4    no picture: camera, file or folder
  5    unusable model file
  6    sightings cannot be stored: disk full, read-only, no permission
  7    alerts could not be delivered to the broker; they are kept
  8    unusable training or evaluation data
  9    a package is missing; the message says how to install it
  101 to 120   doctor: 100 plus the number of failures
  130  interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; the parsed arguments hold the function to call as ``command``."""
    parser = argparse.ArgumentParser(
        prog="hivewatch",
        description="Watch a hive entrance for the Asian hornet and alert over MQTT.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hivewatch {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    run = subparsers.add_parser("run", help="watch the camera until stopped (this is what the service runs)")
    _add_config(run, INSTALLED_CONFIG)
    run.set_defaults(command=commands.run)

    check = subparsers.add_parser("check", help="list every mistake in a configuration file")
    _add_config(check, INSTALLED_CONFIG)
    check.set_defaults(command=commands.check)

    doctor = subparsers.add_parser("doctor", help="test camera, model, broker, disk, clock and power")
    _add_config(doctor, INSTALLED_CONFIG)
    _add_json(doctor)
    doctor.set_defaults(command=commands.doctor)

    _add_preview(
        subparsers.add_parser("preview", help="show the live picture on a web page, to aim and focus")
    )
    _add_replay(subparsers.add_parser("replay", help="run pictures and clips through the daemon's loop"))

    bench = subparsers.add_parser("bench", help="time every stage on this machine, with the simulator")
    _add_config(bench, None)
    bench.add_argument(
        "--frames", type=int, default=100, metavar="N", help="frames to measure (default: %(default)s)"
    )
    _add_json(bench)
    bench.set_defaults(command=commands.bench)

    _add_watch(subparsers.add_parser("watch", help="follow all hives of a broker in the terminal"))

    add_commands(subparsers, _add_config)
    return parser


def _add_config(parser: argparse.ArgumentParser, default: Path | None) -> None:
    where = f"default: {default}" if default else "default: every option at its default"
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=f"YAML file ({where})")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_preview(preview: argparse.ArgumentParser) -> None:
    _add_config(preview, INSTALLED_CONFIG)
    preview.add_argument(
        "--address",
        type=_address,
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="address to serve the page on (default: %(default)s); any other than loopback requires a token",
    )
    preview.add_argument(
        "--token", type=_token, help="token that the page requires (default: generated if one is required)"
    )
    preview.set_defaults(command=commands.preview)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder, picture or clip")
    _add_config(parser, None)
    parser.add_argument("--json", action="store_true", help="print a JSON line per frame and sighting event")
    parser.add_argument("--ungated", action="store_true", help="classify every frame, even without motion")
    parser.add_argument("--publish", action="store_true", help="send the alerts to the configured broker")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="store sightings and snapshots in this folder"
    )
    parser.set_defaults(command=replay_files)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="the MQTT broker")
    parser.add_argument("--port", type=int, help="default: 1883, or 8883 with --tls")
    parser.add_argument("--username", default="", metavar="NAME", help="user name on the broker")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file with the password on one line"
    )
    parser.add_argument("--base-topic", default="hivewatch", metavar="TOPIC", help="default: %(default)s")
    parser.add_argument("--tls", action="store_true", help="encrypt, and verify the broker's certificate")
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificate authorities to trust (with --tls)"
    )
    parser.set_defaults(command=watch_fleet)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) <= 65_535):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, such as 0.0.0.0:8080, not {text!r}")
    return host.strip("[]"), int(port)


def _token(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{8,}", text):
        raise argparse.ArgumentTypeError("a token needs at least 8 characters: letters, digits, - and _")
    return text
