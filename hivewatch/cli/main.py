"""The command line. Each command imports what it needs itself, so that --help answers at once."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hivewatch import __version__
from hivewatch.cli.training import add_commands
from hivewatch.errors import ConfigError, HivewatchError
from hivewatch.system.systemd import journal_handler

if TYPE_CHECKING:
    from hivewatch.config.sections import MqttConfig
    from hivewatch.daemon.replay import Replayed, Source
    from hivewatch.domain.sightings import Sighting
    from hivewatch.domain.wire import Alert

log = logging.getLogger(__name__)

INSTALLED_CONFIG = Path("/etc/hivewatch/hivewatch.yaml")
EXIT_CODES = """\
exit codes:
  0    done
  1    a fault in hivewatch itself
  2    the command line is wrong
  3    the configuration is wrong
  4    no picture to be had: camera, file or folder
  5    the model file cannot be used
  6    sightings cannot be kept: disk full, read-only, no permission
  7    alerts could not be handed to the broker; they are kept
  8    the training or evaluation data cannot be used
  101 to 120   doctor: 100 and the number of failures it found
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error is told on stderr in its own words."""
    # Torch's threads would spin while they wait for each other, at the cost of everything else that runs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = _parser().parse_args(argv)
    logs_to_journal = _set_up_log()
    try:
        code: int = arguments.command(arguments)
    except HivewatchError as error:
        if logs_to_journal:
            log.critical("%s", error, extra={"CODE": f"exit_{error.exit_code}"})
        else:
            print(f"hivewatch: {error}", file=sys.stderr)
        return error.exit_code
    except Exception:
        if not logs_to_journal:
            raise
        log.critical("a fault in hivewatch itself", exc_info=True, extra={"CODE": "exit_1"})
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, `head` say, has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _set_up_log() -> bool:
    """Log to the journal where stderr leads there, else to stderr; return whether it is the journal."""
    journal = journal_handler()
    if journal is not None:
        # The journal notes time and level itself.
        logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[journal])
    else:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("hivewatch").setLevel(logging.INFO)
    return journal is not None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hivewatch",
        description="Watch a hive entrance for the Asian hornet and alert over MQTT.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hivewatch {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="watch the camera until stopped (what the service does)")
    _add_config(run, INSTALLED_CONFIG)
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="tell every fault in a configuration file")
    _add_config(check, INSTALLED_CONFIG)
    check.set_defaults(command=_check)

    doctor = commands.add_parser("doctor", help="examine camera, model, broker, disk, clock and power")
    _add_config(doctor, INSTALLED_CONFIG)
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    doctor.set_defaults(command=_doctor)

    preview = commands.add_parser("preview", help="show the live picture on a page, to aim and focus by")
    _add_config(preview, INSTALLED_CONFIG)
    preview.add_argument(
        "--address",
        type=_address,
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="where the page is served (default: %(default)s); elsewhere than on this machine with a token",
    )
    preview.add_argument(
        "--token",
        type=_token,
        help="what the page is to be asked with (default: a new one, if one is needed)",
    )
    preview.set_defaults(command=_preview)

    replay = commands.add_parser("replay", help="send pictures and clips through the very same loop")
    replay.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder, picture or clip")
    _add_config(replay, None)
    replay.add_argument("--json", action="store_true", help="one JSON line a frame and a sighting event")
    replay.add_argument("--ungated", action="store_true", help="classify every frame, moving or not")
    replay.add_argument("--publish", action="store_true", help="send the alerts to the configured broker")
    replay.add_argument("--out", type=Path, metavar="DIR", help="keep sightings and snapshots in this folder")
    replay.set_defaults(command=_replay)

    bench = commands.add_parser("bench", help="measure every stage on this machine, with the simulator")
    _add_config(bench, None)
    bench.add_argument(
        "--frames", type=int, default=100, metavar="N", help="frames to measure (default: 100)"
    )
    bench.add_argument("--json", action="store_true", help="print one JSON document")
    bench.set_defaults(command=_bench)

    _add_watch(commands.add_parser("watch", help="follow a fleet of hives in the terminal, from MQTT alone"))

    add_commands(commands, _add_config)
    return parser


def _add_config(parser: argparse.ArgumentParser, default: Path | None) -> None:
    where = f"default: {default}" if default else "default: every option at its default"
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=f"YAML file ({where})")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and int(port) <= 65_535):
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, 0.0.0.0:8080 say, not {text!r}")
    return host.strip("[]"), int(port)


def _token(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{8,}", text):
        raise argparse.ArgumentTypeError("a token has 8 or more letters, digits, - and _")
    return text


def _add_watch(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("host", metavar="HOST", help="the MQTT broker")
    watch.add_argument("--port", type=int, help="default: 1883, or 8883 with --tls")
    watch.add_argument("--username", default="", metavar="NAME", help="to log in with")
    watch.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file with the password, on one line"
    )
    watch.add_argument("--base-topic", default="hivewatch", metavar="TOPIC", help="default: %(default)s")
    watch.add_argument("--tls", action="store_true", help="encrypted, with the broker's certificate checked")
    watch.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="whose certificates to believe (with --tls)"
    )
    watch.set_defaults(command=_watch)


def _run(arguments: argparse.Namespace) -> int:
    from hivewatch.system.signals import leave, listen

    wishes = listen()  # first: what follows takes seconds
    from hivewatch.daemon import app

    app.run(arguments.config, wishes)
    leave()


def _check(arguments: argparse.Namespace) -> int:
    from hivewatch.config.reader import load

    try:
        load(arguments.config)
    except ConfigError as error:
        print(error)
        return error.exit_code
    print(f"{arguments.config}: in order")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from hivewatch.doctor import document, examine, exit_code

    logging.getLogger("hivewatch").setLevel(logging.ERROR)  # the findings say what it would
    findings = []
    for finding in examine(arguments.config):
        findings.append(finding)
        if not arguments.json:
            print(finding, flush=True)
    if arguments.json:
        print(json.dumps(document(findings), indent=2))
    return exit_code(findings)


def _preview(arguments: argparse.Namespace) -> int:
    from hivewatch.system.signals import leave, listen

    wishes = listen()
    from hivewatch.preview.app import run

    def tell(url: str) -> None:
        print(f"Look at {url}\nand end it with Ctrl-C.", flush=True)

    run(arguments.config, wishes.stop, arguments.address, arguments.token, tell)
    leave()


def _replay(arguments: argparse.Namespace) -> int:
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config
    from hivewatch.daemon import app, replay
    from hivewatch.daemon.recorder import guest_publisher, open_recorder
    from hivewatch.system.stopwatch import Stopwatch

    config = load(arguments.config) if arguments.config else Config()
    app.set_log_level(config)
    sources = replay.find_sources(arguments.paths, config.camera.rate_hz)
    with contextlib.ExitStack() as opened:
        directory = arguments.out
        if directory is None and not (arguments.config or arguments.publish):
            directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-")))
        config = replay.adapted(config, directory, ungated=arguments.ungated)
        stopwatch = Stopwatch()
        classifier = app.make_classifier(config, stopwatch)
        publisher = guest_publisher if arguments.publish else None
        recorder = open_recorder(config, classifier, stopwatch, opened, publisher)
        recorder.told = _print_event_json if arguments.json else _print_event
        _replay_all(replay.replay(sources, config, classifier, recorder), sources, arguments.json)
        if arguments.publish:
            replay.deliver(recorder)
    return 0


def _replay_all(frames: Iterable[Replayed], sources: Sequence[Source], as_json: bool) -> None:
    """Print what the frames are, or their number, beside a progress bar where there is a terminal."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    total = sum(source.length for source in sources)
    seen = gated = 0
    with logging_redirect_tqdm(), tqdm(total=total or None, unit="frame", disable=None) as bar:
        for frame in frames:
            seen += 1
            gated += frame.step.prediction is None
            if as_json:
                print(json.dumps(frame.document()), flush=True)
            bar.update()
    if not as_json:
        print(f"{seen} frames replayed, {gated} of them held back by the gate")


def _print_event_json(_sighting: Sighting, alert: Alert) -> None:
    print(json.dumps({"sighting": json.loads(alert.event.payload)}), flush=True)


def _print_event(sighting: Sighting, _alert: Alert) -> None:
    from tqdm import tqdm

    at_s, best = sighting.best_frame.monotonic_s, sighting.best.score
    tqdm.write(
        f"sighting {sighting.id[:8]} {sighting.phase:6}  best score {best:.2f} at {at_s:.1f} s"
        f" of {sighting.best_frame.source}, {sighting.votes_for} of {sighting.votes} frames"
    )


def _watch(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime
    from shutil import get_terminal_size

    from hivewatch.fleet.hives import Fleet
    from hivewatch.fleet.view import Lines, Screen
    from hivewatch.mqtt.follower import follow

    config = _broker_of(arguments)
    fleet = Fleet(config.base_topic)
    screen, lines = Screen(fleet, f"{config.host}:{config.port}"), Lines(fleet)
    for trouble in follow(config, fleet.topics, lambda message: fleet.hear(message.topic, message.payload)):
        if trouble:
            fleet.forget()
        if sys.stdout.isatty():
            text = screen.text(trouble, datetime.now(UTC), *get_terminal_size())
        else:
            text = lines.text(trouble, datetime.now(UTC))
        print(text, end="", flush=True)
    return 0


def _broker_of(arguments: argparse.Namespace) -> MqttConfig:
    from pydantic import ValidationError

    from hivewatch.config.sections import MqttConfig

    options = {
        "host": arguments.host,
        "port": arguments.port or (8883 if arguments.tls else 1883),
        "username": arguments.username,
        "password_file": arguments.password_file,
        "base_topic": arguments.base_topic,
        "tls": {"enabled": arguments.tls, "ca_file": arguments.ca_file},
    }
    try:
        return MqttConfig.model_validate(options)
    except ValidationError as error:
        problems = [
            f"--{'-'.join(map(str, one['loc'])).replace('_', '-')}: {one['msg']}" for one in error.errors()
        ]
        raise ConfigError(problems) from error


def _bench(arguments: argparse.Namespace) -> int:
    from hivewatch.bench import measure as bench
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config

    config = load(arguments.config) if arguments.config else Config()
    report = bench.measure(config, frames=arguments.frames)
    print(json.dumps(report.document(), indent=2) if arguments.json else report.table())
    return 0
