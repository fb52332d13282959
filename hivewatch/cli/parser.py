"""The commands, their options and help texts. Imports nothing expensive, so that --help answers at once."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

from hivewatch import __version__
from hivewatch.cli import commands
from hivewatch.cli.completion import INSTRUCTIONS, add_completion
from hivewatch.cli.counts import count
from hivewatch.cli.init import add_init
from hivewatch.cli.replay import replay_files
from hivewatch.cli.training import add_commands
from hivewatch.cli.visits import add_report
from hivewatch.cli.watch import watch_fleet
from hivewatch.config.location import INSTALLED, LOCAL
from hivewatch.domain.redaction import redact

FOUND = f"./{LOCAL}, else {INSTALLED}"
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with code 2; a repeated argument may be an address with a password."""
        super().error(redact(message))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; the parsed arguments hold the function to call as ``command``."""
    parser = _Parser(
        prog="hivewatch",
        description="Watch a hive entrance for the Asian hornet and alert over MQTT.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hivewatch {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    add_init(subparsers.add_parser("init", help="write a configuration file from a few questions"))

    run = subparsers.add_parser("run", help="watch the camera until stopped (this is what the service runs)")
    _add_config(run, FOUND)
    run.set_defaults(command=commands.run)

    check = subparsers.add_parser("check", help="list every mistake in a configuration file")
    _add_config(check, FOUND)
    check.set_defaults(command=commands.check, code_is_an_answer=True)

    doctor = subparsers.add_parser("doctor", help="test camera, model, broker, disk, clock and power")
    _add_config(doctor, FOUND)
    _add_json(doctor)
    doctor.set_defaults(command=commands.doctor, code_is_an_answer=True)

    _add_preview(
        subparsers.add_parser("preview", help="show the live picture on a web page, to aim and focus")
    )
    _add_replay(subparsers.add_parser("replay", help="run pictures and clips through the daemon's loop"))

    bench = subparsers.add_parser("bench", help="time every stage on this machine, with the simulator")
    _add_config(bench)
    bench.add_argument(
        "--frames", type=count, default=100, metavar="N", help="frames to measure (default: %(default)s)"
    )
    _add_json(bench)
    bench.set_defaults(command=commands.bench)

    _add_watch(subparsers.add_parser("watch", help="follow all hives of a broker in the terminal"))

    report = subparsers.add_parser("report", help="list the visits in the store, as a table or as CSV")
    _add_config(report, FOUND)
    add_report(report)

    add_commands(subparsers, _add_config)

    completion = subparsers.add_parser(
        "completion",
        help="print the script that completes commands and options with Tab",
        epilog=INSTRUCTIONS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_completion(completion, make_parser)
    _add_help(parser, subparsers)
    return parser


def _add_config(parser: argparse.ArgumentParser, default: str = "every option at its default") -> None:
    """Add the option --config; ``default`` says what happens without it."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"YAML file (default: {default})")


def _add_help(parser: argparse.ArgumentParser, subparsers: Any) -> None:
    helps = {None: parser, **subparsers.choices}
    topic = subparsers.add_parser("help", help="explain a command or an option, such as camera.kind")
    topic.add_argument(
        "topic",
        nargs="?",
        metavar="TOPIC",
        help="a command, an option or section of the YAML file, or `manual` for all options",
    )
    topic.set_defaults(command=commands.help_on, helps=helps)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_preview(preview: argparse.ArgumentParser) -> None:
    _add_config(preview, FOUND)
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
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON line per frame and sighting event")
    parser.add_argument("--ungated", action="store_true", help="classify every frame, even without motion")
    parser.add_argument("--publish", action="store_true", help="send the alerts to the configured broker")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="store sightings and snapshots in this folder"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a page of what was found into this new folder"
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
