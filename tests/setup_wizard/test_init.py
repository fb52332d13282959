"""The command init: the questions in a terminal, the options for scripts, and every refusal."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pexpect
import pytest
from support.brokers import Broker, free_port
from support.paths import python_path
from zeroconf import ServiceInfo, Zeroconf

from hivewatch.cli import init
from hivewatch.cli.main import main
from hivewatch.config.reader import load
from hivewatch.setup_wizard import brokers, cameras
from hivewatch.setup_wizard.cameras import CameraChoice

SIMULATED = ("--yes", "--camera", "simulator", "--broker", "none")


def start(folder: Path, *options: str) -> pexpect.spawn:
    """Start ``hivewatch init`` in a terminal."""
    environment = os.environ | {"PYTHONPATH": python_path()}
    arguments = ["-m", "hivewatch", "init", *options]
    return pexpect.spawn(sys.executable, arguments, cwd=folder, env=environment, encoding="utf-8", timeout=60)


def answer(terminal: pexpect.spawn, question: str, text: str) -> None:
    """Wait for a question, and answer it."""
    terminal.expect_exact(question)
    terminal.sendline(text)


@pytest.mark.slow
def test_the_answers_in_a_terminal_make_a_valid_file_and_the_next_commands_are_printed(
    tmp_path: Path, broker: Broker
) -> None:
    with start(tmp_path) as terminal:
        answer(terminal, "Name of the hive [Hive 1]: ", "Ruche à côté")
        answer(terminal, "Camera [", "rtsp://bee:secret@127.0.0.1/h264")
        answer(terminal, "Broker [", f"127.0.0.1:{broker.port}")
        answer(terminal, "User name at the broker, empty if it needs none []: ", "bee")
        answer(terminal, "Password, kept in hivewatch.password (not shown; ", "s3cret")
        terminal.expect_exact(
            "Wrote hivewatch.yaml: Ruche à côté (id ruche-a-cote), camera rtsp://127.0.0.1,"
        )
        shown = terminal.before
        for command in ("check", "doctor", "preview", "run"):
            terminal.expect_exact(f"hivewatch {command} --config hivewatch.yaml ")
        terminal.expect(pexpect.EOF)
    assert "s3cret" not in shown
    config = load(tmp_path / "hivewatch.yaml")
    assert (config.hive.id, config.hive.name) == ("ruche-a-cote", "Ruche à côté")
    assert config.camera.kind == "video"
    assert config.camera.video.source == "rtsp://bee:secret@127.0.0.1/h264"
    assert config.store.directory == tmp_path / "hivewatch-data"
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.username) == ("127.0.0.1", broker.port, "bee")
    assert config.mqtt.password_file is not None
    assert config.mqtt.password_file.read_text() == "s3cret\n"


@pytest.mark.slow
def test_a_wrong_answer_gets_a_sentence_and_the_question_again(tmp_path: Path) -> None:
    with start(tmp_path) as terminal:
        answer(terminal, "Name of the hive", "x" * 101)
        terminal.expect_exact("the name is too long: 101 characters")
        answer(terminal, "Name of the hive", "")
        answer(terminal, "Camera [", "/nowhere")
        terminal.expect_exact("that does not exist; answer with a number")
        answer(terminal, "Camera [", "simulator")
        terminal.expect_exact("The simulator watches no hive.")
        answer(terminal, "Broker [", "the broker")
        terminal.expect_exact("that is not an address; give host or host:port")
        answer(terminal, "Broker [", "none")
        terminal.expect_exact("broker none.")
        terminal.expect(pexpect.EOF)
    config = load(tmp_path / "hivewatch.yaml")
    assert (config.hive.id, config.camera.kind, config.mqtt.enabled) == ("hive-1", "simulator", False)


@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_used_only_on_request(tmp_path: Path) -> None:
    closed = f"127.0.0.1:{free_port()}"
    with start(tmp_path, "--name", "Pear", "--camera", "simulator") as terminal:
        for choice in ("", "y"):
            answer(terminal, "Broker [", closed)
            terminal.expect_exact(f"{closed} does not answer now: Connection refused.")
            answer(terminal, "Use it all the same? [y/N]: ", choice)
        answer(terminal, "User name", "")
        terminal.expect_exact(f"broker {closed}.")
        terminal.expect(pexpect.EOF)
    assert load(tmp_path / "hivewatch.yaml").mqtt.username == ""


@pytest.mark.slow
def test_a_broker_that_announces_itself_is_offered(tmp_path: Path, broker: Broker) -> None:
    address, kind = [socket.inet_aton("127.0.0.1")], "_mqtt._tcp.local."
    with Zeroconf(interfaces=["127.0.0.1"]) as network:
        info = ServiceInfo(kind, f"Garden.{kind}", broker.port, addresses=address, server="localhost.")
        network.register_service(info)
        with start(tmp_path, "--name", "Pear", "--camera", "simulator") as terminal:
            terminal.expect(rf"(\d+)  localhost:{broker.port} \(Garden\)")
            assert terminal.match is not None
            answer(terminal, "Broker [1]: ", terminal.match[1])
            answer(terminal, "User name", "")
            terminal.expect(pexpect.EOF)
    assert load(tmp_path / "hivewatch.yaml").mqtt.port == broker.port


@pytest.mark.slow
@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_an_interrupted_init_writes_nothing(tmp_path: Path, key: str) -> None:
    with start(tmp_path) as terminal:
        terminal.expect_exact("Name of the hive [Hive 1]: ")
        terminal.send(key)
        terminal.expect_exact("Stopped; nothing was written.")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 130
    assert list(tmp_path.iterdir()) == []


def write(folder: Path, *options: str) -> int:
    """Run ``hivewatch init`` without a terminal; return its exit code."""
    return main(["init", str(folder / "hive.yaml"), *options])


def test_options_answer_the_questions_of_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    options = ["--name", "Pear", "--camera", "rtsp://10.0.0.2/a", "--broker", "mqtts://broker.lan"]
    options += ["--username", "bee", "--password-file", str(tmp_path / "secret")]
    assert write(tmp_path, *options) == 0
    config = load(tmp_path / "hive.yaml")
    assert (config.hive.id, config.camera.video.source) == ("pear", "rtsp://10.0.0.2/a")
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls.enabled) == ("broker.lan", 8883, True)
    assert (config.mqtt.username, config.mqtt.password_file) == ("bee", tmp_path / "secret")
    assert "Wrote " in capsys.readouterr().out


def test_yes_takes_the_default_of_every_other_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = CameraChoice("/dev/video2 (HD Webcam)", {"kind": "video", "video": {"source": "/dev/video2"}})
    monkeypatch.setattr(cameras, "find_cameras", lambda: ([found], []))
    here = brokers.Broker("localhost", 1883, tls=False, name="this machine")
    monkeypatch.setattr(brokers, "find_brokers", lambda: ([here], []))
    assert write(tmp_path, "--yes") == 0
    config = load(tmp_path / "hive.yaml")
    assert (config.hive.name, config.camera.video.source) == ("Hive 1", "/dev/video2")
    assert (config.mqtt.host, config.mqtt.username) == ("localhost", "")
    text = capsys.readouterr().out
    assert "  1  /dev/video2 (HD Webcam)\n" in text
    assert "  1  localhost:1883 (this machine)\n" in text


def test_yes_without_a_camera_names_the_first_device_and_never_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cameras, "find_cameras", lambda: ([], []))
    monkeypatch.setattr(cameras, "FIRST_DEVICE", "/dev/video87")
    assert write(tmp_path, "--yes", "--broker", "none") == 0
    assert load(tmp_path / "hive.yaml").camera.video.source == "/dev/video87"
    text = capsys.readouterr().out
    assert "Cameras found: none." in text
    assert "There is no /dev/video87 now: connect the camera before you start hivewatch." in text


def test_a_user_name_without_a_password_says_where_one_would_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, "--yes", "--camera", "simulator", "--broker", "b.lan", "--username", "bee") == 0
    assert "No password: if the broker wants one, see `hivewatch help mqtt.password_file`." in (
        capsys.readouterr().out
    )
    assert load(tmp_path / "hive.yaml").mqtt.password_file is None


def test_an_existing_password_file_is_used_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hive.password").write_text("old\n")
    assert write(tmp_path, "--yes", "--camera", "simulator", "--broker", "b.lan", "--username", "bee") == 0
    assert f"The password is the one in {tmp_path}/hive.password, which exists." in capsys.readouterr().out
    assert load(tmp_path / "hive.yaml").mqtt.password_file == tmp_path / "hive.password"
    assert (tmp_path / "hive.password").read_text() == "old\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--camera", "/nowhere"], "hivewatch: --camera: that does not exist"),
        (["--broker", "a b"], "hivewatch: --broker: that is not an address"),
        (["--name", ""], "hivewatch: --name: the name is empty"),
        (["--username", "bee"], "hivewatch: --username and --password-file need a broker, but there is none"),
        (
            ["--broker", "b", "--username", "b", "--password-file", "/nowhere"],
            "--password-file: no such file; name a file that contains the password",
        ),
    ],
)
def test_an_option_that_is_not_valid_is_named(
    tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, *SIMULATED, *options) == 3
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_the_missing_option_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        write(tmp_path, "--name", "Pear")
    assert ended.value.code == 2
    sentence = "the input is not a terminal, so --camera cannot be asked for: give it, or add --yes"
    assert sentence in capsys.readouterr().err


def test_an_existing_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hive.yaml").write_text("mine")
    assert write(tmp_path, *SIMULATED) == 3
    assert "hive.yaml exists and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "hive.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "store", "unit"),
    [
        ("hive.yaml", "/var/lib/hivewatch", "hivewatch"),
        ("hivewatch.yaml", "/var/lib/hivewatch/hive", "hivewatch@hive"),
    ],
)
def test_each_service_gets_a_store_of_its_own_and_is_named(
    tmp_path: Path,
    name: str,
    store: str,
    unit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(init, "SERVICE_CONFIG", tmp_path / name)
    assert write(tmp_path, *SIMULATED) == 0
    assert load(tmp_path / "hive.yaml").store.directory == Path(store)
    text = capsys.readouterr().out
    assert f"sudo hivewatch doctor --config {tmp_path}/hive.yaml " in text
    assert text.endswith(f"sudo systemctl restart {unit}\n")
