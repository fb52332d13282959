"""The command init: asks for hive, camera and broker, and writes a configuration file."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hivewatch.errors import ConfigError

if TYPE_CHECKING:
    from hivewatch.setup_wizard.brokers import Broker
    from hivewatch.setup_wizard.cameras import CameraChoice

T = TypeVar("T")

SERVICE_CONFIG = Path("/etc/hivewatch/hivewatch.yaml")


def add_init(init: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    init.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("hivewatch.yaml"),
        metavar="FILE",
        help="file to write; an existing one is never overwritten (default: %(default)s)",
    )
    init.add_argument("--name", metavar="NAME", help="name of the hive for people; its id is made from it")
    init.add_argument(
        "--camera",
        metavar="CAMERA",
        help="a device, an address (rtsp://...), a folder of pictures, picamera2 or simulator; other users of"
        " this machine see it, so answer the question if it has a password",
    )
    init.add_argument("--broker", metavar="HOST[:PORT]", help="the MQTT broker, or none")
    init.add_argument("--username", metavar="NAME", help="user name at the broker")
    init.add_argument("--password-file", type=Path, metavar="FILE", help="file with the broker's password")
    init.add_argument("--yes", action="store_true", help="ask nothing: take the default of each question")
    init.set_defaults(command=init_config, usage_error=init.error)


def init_config(arguments: argparse.Namespace) -> int:
    """Ask what the options leave open, write the file, and print the next commands."""
    from datetime import datetime

    from hivewatch.setup_wizard.answers import parse_name
    from hivewatch.setup_wizard.file import require_new, write_files, yaml_text

    path: Path = arguments.file
    require_new(path)
    try:
        hive = _ask(arguments, "name", "Name of the hive", "Hive 1", parse_name)
        camera = _ask_camera(arguments)
        broker = _ask_broker(arguments)
        login, password = _ask_login(arguments, broker)
    except (KeyboardInterrupt, EOFError):
        print("\nStopped; nothing was written.")
        return 130
    settings: dict[str, Any] = {
        "hive": {"id": hive.id, "name": hive.name},
        "camera": camera.options,
        "store": {"directory": _store(path)},
        "mqtt": {"enabled": False} if broker is None else _broker_options(broker) | login,
    }
    write_files(path, yaml_text(settings, datetime.now().astimezone().date()), password)
    print(f"\nWrote {path}: {hive.name} (id {hive.id}), camera {camera.label}, broker {broker or 'none'}.")
    print(_next_commands(path))
    return 0


def _ask_camera(arguments: argparse.Namespace) -> CameraChoice:
    from hivewatch.setup_wizard.cameras import FIRST_DEVICE, find_cameras, parse_camera

    found: list[CameraChoice] = []
    if arguments.camera is None:
        print()
        found, problems = find_cameras()
        _print_found("Cameras", [camera.label for camera in found], problems)
        if not arguments.yes:
            print("Answer with a number, a device, an address (rtsp://...), a folder, or simulator.")
    default = "1" if found else FIRST_DEVICE
    camera = _ask(arguments, "camera", "Camera", default, lambda answer: parse_camera(answer, found))
    if camera.warning:
        print(f"  {camera.warning}")
    return camera


def _ask_broker(arguments: argparse.Namespace) -> Broker | None:
    from hivewatch.setup_wizard.brokers import NONE, find_brokers, parse_broker, why_unreachable

    found: list[Broker] = []
    if arguments.broker is None:
        print("\nLooking for MQTT brokers ...", flush=True)
        found, problems = find_brokers()
        _print_found("Brokers", list(map(str, found)), problems)
        if not arguments.yes:
            print("Answer with a number, host or host:port, or none to keep the pictures here only.")

    def parse(answer: str) -> Broker | None:
        broker = parse_broker(answer, found)
        if broker is not None and arguments.broker is None and (why := why_unreachable(broker)):
            print(f"  {broker} does not answer now: {why}.")
            if not arguments.yes and input("  Use it all the same? [y/N]: ").strip().lower() not in {
                "y",
                "yes",
            }:
                raise ConfigError(["name another broker, or none"])
        return broker

    return _ask(arguments, "broker", "Broker", "1" if found else NONE, parse)


def _ask_login(arguments: argparse.Namespace, broker: Broker | None) -> tuple[dict[str, Any], str]:
    """Return the options of the login at the broker, and the password to store, empty if there is none."""
    from hivewatch.setup_wizard.answers import printable
    from hivewatch.setup_wizard.file import password_path

    if broker is None:
        if arguments.username or arguments.password_file:
            raise ConfigError(["--username and --password-file need a broker, but there is none"])
        return {}, ""
    if arguments.password_file is not None and not arguments.password_file.is_file():
        raise ConfigError(["--password-file: no such file; name a file that contains the password"])
    username = _ask(arguments, "username", "User name at the broker, empty if it needs none", "", printable)
    if not username:
        return {}, ""
    if arguments.password_file is not None:
        return {"username": username, "password_file": str(arguments.password_file.absolute())}, ""
    stored = password_path(arguments.file)
    if stored.exists():
        print(f"  The password is the one in {stored}, which exists.")
        return {"username": username, "password_file": stored.name}, ""
    password = _ask_password(arguments, stored)
    if not password:
        print("  No password: if the broker wants one, see `hivewatch help mqtt.password_file`.")
    return {"username": username} | ({"password_file": stored.name} if password else {}), password


def _ask_password(arguments: argparse.Namespace, stored: Path) -> str:
    from getpass import getpass

    if arguments.yes or not sys.stdin.isatty():
        return ""
    return getpass(f"Password, kept in {stored} (not shown; empty if it needs none): ")


def _broker_options(broker: Broker) -> dict[str, Any]:
    address: dict[str, Any] = {"host": broker.host, "port": broker.port}
    return address | ({"tls": {"enabled": True}} if broker.tls else {})


def _ask(
    arguments: argparse.Namespace, option: str, question: str, default: str, parse: Callable[[str], T]
) -> T:
    """Return the parsed value of the option, or else of the answer; ask again until the answer is valid."""
    given = getattr(arguments, option)
    if given is not None:
        try:
            return parse(given)
        except ConfigError as error:
            raise ConfigError([f"--{option}: {problem}" for problem in error.problems]) from error
    if arguments.yes:
        return parse(default)
    if not sys.stdin.isatty():
        arguments.usage_error(
            f"the input is not a terminal, so --{option} cannot be asked for: give it, or add --yes"
        )
    while True:
        try:
            return parse(input(f"{question} [{default}]: ").strip() or default)
        except ConfigError as error:
            print(f"  {error}")


def _print_found(what: str, labels: Sequence[str], problems: Sequence[str]) -> None:
    print(f"{what} found:" if labels else f"{what} found: none.")
    for number, label in enumerate(labels, start=1):
        print(f"  {number}  {label}")
    for problem in problems:
        print(f"  {problem}")


def _is_for_service(path: Path) -> bool:
    return path.absolute().parent == SERVICE_CONFIG.parent


def _store(path: Path) -> str:
    """Return the directory for the sightings: that of the service, or one beside the file."""
    if not _is_for_service(path):
        return f"{path.stem}-data"
    return "/var/lib/hivewatch" if path.name == SERVICE_CONFIG.name else f"/var/lib/hivewatch/{path.stem}"


def _next_commands(path: Path) -> str:
    if _is_for_service(path):
        unit = "hivewatch" if path.name == SERVICE_CONFIG.name else f"hivewatch@{path.stem}"
        return (
            "Next:\n"
            f"  sudo hivewatch doctor --config {path.absolute()}    # test camera, broker, disk and clock\n"
            f"  sudo systemctl enable {unit}\n"
            f"  sudo systemctl restart {unit}"
        )
    script = sys.argv[0] if Path(sys.argv[0]).name == "hivewatch" else f"{sys.executable} -m hivewatch"
    program = "hivewatch" if shutil.which("hivewatch") else script
    file = shlex.quote(str(path))
    return (
        "Next:\n"
        f"  {program} check --config {file}      # is every option valid?\n"
        f"  {program} doctor --config {file}     # test camera, broker, disk and clock\n"
        f"  {program} preview --config {file}    # aim and focus the camera\n"
        f"  {program} run --config {file}        # watch, until Ctrl-C"
    )
