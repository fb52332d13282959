"""A password in the settings, wherever it is typed, appears in nothing that hivewatch prints."""

from __future__ import annotations

import logging
import threading
import traceback
from pathlib import Path

import pytest

from hivewatch.cli.main import main
from hivewatch.config import reader, source, yaml_faults
from hivewatch.config.base import options
from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.daemon.configuration import Configuration
from hivewatch.errors import CameraError, ConfigError
from hivewatch.store import Store

WORD = "GEHEIM123"
URL = f"rtsp://keeper:{WORD}@10.0.0.9/s"

# Every one is refused.
SETTINGS = {
    # An address where a section or another option belongs.
    "camera is an address": f"camera: {URL}",
    "camera is an address in quotes": f'camera: "{URL}"',
    "video is an address": f"camera: {{kind: video, video: '{URL}'}}",
    "kind is an address": f"camera: {{kind: '{URL}'}}",
    "rate is an address": f"camera: {{kind: simulator, rate_hz: '{URL}'}}",
    "mqtt is an address": f"camera: {{kind: simulator}}\nmqtt: mqtt://keeper:{WORD}@10.0.0.9",
    "host is an address": f"camera: {{kind: simulator}}\nmqtt: {{host: 'mqtt://keeper:{WORD}@10.0.0.9'}}",
    "host has a user": f"camera: {{kind: simulator}}\nmqtt: {{host: 'keeper:{WORD}@10.0.0.9'}}",
    "host and a word": f"camera: {{kind: simulator}}\nmqtt: {{host: '10.0.0.9:{WORD}'}}",
    "host has many colons": f"camera: {{kind: simulator}}\nmqtt: {{host: 'keeper:{WORD}:10.0.0.9'}}",
    "source is a list": f"camera: {{kind: video, video: {{source: ['{URL}']}}}}",
    "source is a section": f"camera: {{kind: video, video: {{source: {{'{URL}': 1}}}}}}",
    "source is given twice": f"camera:\n  kind: video\n  video:\n    source: '{URL}'\n    source: '{URL}'",
    "source is misspelt": f"camera: {{kind: video, video: {{sorce: '{URL}'}}}}",
    "source at the top": f"camera: {{kind: video}}\nsource: '{URL}'",
    "a folder": f"camera: {{kind: folder, folder: {{path: '{URL}'}}}}",
    "a store": f"camera: {{kind: simulator}}\nstore: {{directory: '{URL}'}}",
    "a store without a scheme": f"camera: {{kind: simulator}}\nstore: {{directory: 'keeper:{WORD}@h/s'}}",
    "a model": f"camera: {{kind: simulator}}\nclassifier: {{model: '{URL}'}}",
    "an id": f"camera: {{kind: simulator}}\nhive: {{id: '{URL}'}}",
    "a zone": f"camera: {{kind: simulator}}\nhive: {{time_zone: '{URL}'}}",
    "a level": f"camera: {{kind: simulator}}\nlog: {{level: '{URL}'}}",
    "a time": f"camera: {{kind: simulator}}\nhealth: {{summary_at: '{URL}'}}",
    "a polygon": f"camera: {{kind: simulator}}\ngate: {{watch: '{URL}'}}",
    "a point": f"camera: {{kind: simulator}}\ngate: {{watch: [[['{URL}', 0], [1, 0], [1, 1]]]}}",
    # An address with a mistake.
    "no scheme": f"camera: {{kind: video, video: {{source: 'keeper:{WORD}@127.0.0.1:9/s'}}}}",
    "no scheme but its slashes": f"camera: {{kind: video, video: {{source: '//keeper:{WORD}@10.0.0.9/s'}}}}",
    "a store of slashes": f"camera: {{kind: simulator}}\nstore: {{directory: '//keeper:{WORD}@10.0.0.9/s'}}",
    "no scheme and no user": f"camera: {{kind: video, video: {{source: '127.0.0.1/s?pwd={WORD}'}}}}",
    "one slash": f"camera: {{kind: video, video: {{source: 'rtsp:/keeper:{WORD}@127.0.0.1:9/s'}}}}",
    "no colon after the scheme": f"camera: {{kind: video, video: {{source: 'rtsp//keeper:{WORD}@h/s'}}}}",
    "user before the scheme": f"camera: {{kind: video, video: {{source: 'keeper:{WORD}://h/s'}}}}",
    "a slash in the word": f"camera: {{kind: video, video: {{source: 'rtsp://keeper:x/{WORD}@h/s'}}}}",
    "a hash in the word": f"camera: {{kind: video, video: {{source: 'rtsp://keeper:{WORD}#x@h/s'}}}}",
    "a blank in the word": f"camera: {{kind: video, video: {{source: 'rtsp://keeper:x {WORD}@h/s'}}}}",
    "a line break in the word": f'camera: {{kind: video, video: {{source: "rtsp://k:x\n  {WORD}@h/s"}}}}',
    "digits and a slash": f"camera: {{kind: video, video: {{source: 'rtsp://keeper:12/{WORD}@h/s'}}}}",
    "a word for the port": f"camera: {{kind: video, video: {{source: 'rtsp://h:{WORD}/s'}}}}",
    "no host": f"camera: {{kind: video, video: {{source: 'rtsp://keeper:{WORD}@/s'}}}}",
    # The password in another place.
    "password": f"camera: {{kind: simulator}}\nmqtt: {{username: bees, password: {WORD}}}",
    "the file is the word": f"camera: {{kind: simulator}}\nmqtt: {{username: bees, password_file: {WORD}}}",
    "the file is a list": f"camera: {{kind: simulator}}\nmqtt: {{username: bees, password_file: [{WORD}]}}",
    "a port": f"camera: {{kind: simulator}}\nmqtt: {{port: {WORD}}}",
    "a client id": f"camera: {{kind: simulator}}\nmqtt: {{client_id: 'keeper:{WORD}'}}",
    "a topic": f"camera: {{kind: simulator}}\nmqtt: {{base_topic: '#{WORD}'}}",
    "a hive's name": f"camera: {{kind: simulator}}\nhive: {{name: '{URL}'}}",
    "a login as a hive's name": f"camera: {{kind: simulator}}\nhive: {{name: 'keeper:{WORD}@10.0.0.9'}}",
    "a login as a topic": f"camera: {{kind: simulator}}\nmqtt: {{base_topic: 'keeper:{WORD}@10.0.0.9'}}",
    "a login as another topic": f"camera: {{kind: simulator}}\nhomeassistant: {{version_topic: '{URL}'}}",
    "a prefix": f"camera: {{kind: simulator}}\nhomeassistant: {{prefix: '/{WORD}'}}",
    "tls": f"camera: {{kind: simulator}}\nmqtt: {{tls: {WORD}}}",
    "a key": f"camera: {{kind: simulator}}\nmqtt: {{tls: {{enabled: true, ca_file: {WORD}}}}}",
    "an unknown option": f"camera: {{kind: simulator}}\nmqtt: {{{WORD}: 1}}",
    "a section": f"camera: {{kind: simulator}}\n{WORD}: {{a: 1}}",
    "a value without a name": f"camera: {{kind: simulator}}\nmqtt: {{username: bees, {WORD}}}",
    "a list": f"camera: {{kind: simulator}}\nmqtt: [{WORD}]",
    "nothing else": WORD,
    "a number and a word": f"camera: {{kind: simulator}}\nmqtt: {{port: '123{WORD}'}}",
    # Text that is not YAML, or more than it.
    "no blank": f"camera:\n  kind: video\n  video:\n    source:{URL}\n    give_up_after_s: 5",
    "no colon": f"camera:\n  kind: video\n  video:\n    source {URL}\n    give_up_after_s: 5",
    "no blank after password": f"camera: {{kind: simulator}}\nmqtt:\n  password:{WORD}\n  port: 1",
    "a name": f"camera:\n  kind: video\n  video:\n    '{URL}': x",
    "an open quotation mark": f'camera:\n  kind: video\n  video:\n    source: "{URL}\n',
    "a second colon": f"camera:\n  kind: video\n  video:\n    source: {URL}: x",
    "an alias": f"camera: {{kind: simulator}}\nmqtt: {{username: *{WORD}}}",
    "an anchor": f"a: &{WORD} 1\nb: &{WORD} 2",
    "a tag": f"camera: {{kind: simulator}}\nmqtt: {{username: !{WORD} x}}",
    "int": f'camera: {{kind: video, video: {{source: !!int "{URL}"}}}}',
    "float": f'camera: {{kind: video, video: {{source: !!float "{WORD}"}}}}',
    "timestamp": f'camera: {{kind: video, video: {{source: !!timestamp "{WORD}"}}}}',
    "binary": f'camera: {{kind: video, video: {{source: !!binary "{WORD}="}}}}',
    "python": f'camera: {{kind: video, video: {{source: !!python/object/apply:os.system ["{WORD}"]}}}}',
    "a control character": f"camera: {{kind: simulator}}\nmqtt: {{username: '{WORD}\x01'}}",
    "half a character": f'camera: {{kind: simulator}}\nmqtt: {{username: "{WORD}\\ud800"}}',
    "bad escape": f'camera: {{kind: simulator}}\nmqtt: {{username: "{WORD}\\q"}}',
}  # fmt: skip


@pytest.fixture(params=SETTINGS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "hive.yaml"
    path.write_text(SETTINGS[request.param])
    return path


def test_no_command_repeats_it(
    file: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["check", "--config", str(file)]) == 3
    assert main(["doctor", "--config", str(file)]) > 100
    assert main(["doctor", "--json", "--config", str(file)]) > 100
    assert main(["report", "--config", str(file)]) == 3
    assert main(["replay", "--config", str(file), "/nowhere"]) in {3, 4}
    caught = capfd.readouterr()
    assert "hive.yaml" in caught.out + caught.err
    assert WORD not in caught.out + caught.err + caplog.text
    assert [path.name for path in file.parent.iterdir()] == ["hive.yaml"]


def test_no_reload_repeats_it(file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(tmp_path / "store") as store:
        running = Configuration(file, Config(), store, lambda _config: None)
        with caplog.at_level(logging.DEBUG):
            running.reload()
    assert running.current == Config()
    assert "not reloaded" in caplog.text
    assert WORD not in caplog.text


def test_no_traceback_of_a_bug_in_the_reader_repeats_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reader was handling when it failed: the errors of YAML and pydantic quote the file."""

    def fail(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    for module, name in ((reader, "sentence"), (yaml_faults, "explain"), (source, "explain")):
        monkeypatch.setattr(module, name, fail)
    monkeypatch.setattr(source.Source, "problem", fail)
    with pytest.raises((ZeroDivisionError, ConfigError)) as caught:
        load(file)
    # Only the errors: the lines of this test, which a traceback quotes, have the word.
    errors, error = [], caught.value
    while error is not None:
        errors += traceback.format_exception_only(error)
        error = error.__cause__ or error.__context__
    assert WORD not in "".join(errors)


def test_the_options_themselves_do_not_show_it() -> None:
    text = f"camera: {{kind: video, video: {{source: '{URL}'}}}}\nmqtt: {{username: {WORD}}}"
    assert WORD not in repr(reader.parse(text, Config))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--config", URL],
        ["replay", URL],
        ["help", URL],
        ["init", "x.yaml", "--yes", "--camera", f"keeper:{WORD}@10.0.0.9/s"],
        ["init", "x.yaml", "--yes", "--camera", f"rtsp://keeper:{WORD}/x@10.0.0.9/s"],
        ["init", "x.yaml", "--yes", "--camera", f"{WORD}://10.0.0.9/s"],
        ["init", "x.yaml", "--yes", "--camera", "simulator", "--broker", f"mqtt://keeper:{WORD}@10.0.0.9"],
        ["init", "x.yaml", "--yes", "--camera", "simulator", "--broker", f"keeper:{WORD}/x@10.0.0.9"],
        ["init", "x.yaml", "--yes", "--camera", "simulator", "--broker", f"{WORD}://10.0.0.9"],
        ["init", "x.yaml", "--yes", "--camera", f"rtsp://keeper:a {WORD}@h/s", "--broker", "none"],
        [
            *[
                "init",
                "x.yaml",
                "--yes",
                "--camera",
                "simulator",
                "--broker",
                "h",
                "--username",
                "k",
                "--password-file",
            ],
            WORD,
        ],
        ["init", "x.yaml", "--yes", "--camera", "simulator", "--name", f"keeper:{WORD}@10.0.0.9"],
        ["replay", f"rtsp://keeper:{WORD}@192.168.1.20/path"],
        ["watch", "10.0.0.9", "--username", "keeper", "--password-file", WORD],
        ["watch", "10.0.0.9", "--base-topic", f"keeper:{WORD}@10.0.0.9"],
        ["watch", f"mqtt://keeper:{WORD}@10.0.0.9"],
        ["preview", "--address", f"keeper:{WORD}@10.0.0.9:x"],  # refused before it catches signals
        [URL],
        ["check", URL],
    ],
)
def test_no_command_repeats_an_address_from_its_own_command_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        assert main(arguments) != 0
    except SystemExit as error:
        assert error.code == 2
    caught = capfd.readouterr()
    assert caught.out + caught.err != ""
    assert WORD not in caught.out + caught.err


def test_a_camera_that_fails_in_an_odd_way_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from hivewatch.camera.sources import video
    from hivewatch.camera.supervisor import Supervisor

    def fail(url: str, *_arguments: object) -> None:
        raise ValueError(f"no such stream: {url}")

    monkeypatch.setattr(video, "_open_url", fail)
    text = f"camera: {{kind: video, timeout_s: 0.2, video: {{source: '{URL}', give_up_after_s: 0.1}}}}"
    with pytest.raises(CameraError) as caught:
        next(Supervisor(reader.parse(text, Config).camera).frames(threading.Event()))
    assert "rtsp://10.0.0.9" in str(caught.value)
    assert WORD not in str(caught.value)


VALUES = [
    WORD, f"'{WORD} {WORD}'", f"'{URL}'", f"'keeper:{WORD}@10.0.0.9'", f"'/{WORD}#'", f"'#{WORD}'",
    f"[{WORD}]", f"[['{URL}']]", f"{{{WORD}: 1}}", f"{{a: '{URL}'}}", f"!!int {WORD}", f"'12{WORD}'",
    f"'{WORD * 100}'", f"'${WORD}'", f"'~{WORD}'", f"' {WORD}'", f'"{WORD}\\0"', f"&{WORD} 1",
    f"'{WORD}/{WORD}'", f"1{WORD}",
]  # fmt: skip


@pytest.mark.parametrize("option", [option.name for option in options(Config)])
def test_no_option_repeats_it(option: str) -> None:
    """Whatever the option, and however it is written there."""
    for value in VALUES:
        text = value
        for name in reversed(option.split(".")):
            text = f"{{{name}: {text}}}"
        try:
            reader.parse(text, Config)
        except ConfigError as error:
            assert WORD not in str(error)


@pytest.mark.parametrize("word", ["abc1", "1234", "Ab!9$x", "x_9"])
@pytest.mark.parametrize(
    "text", ["{{username: bees, password:{}}}", "{{password{}: 1}}", "{{username:{}: 1}}", "{{source:{}: 1}}"]
)
def test_a_short_word_that_makes_the_name_of_an_option_is_not_repeated(word: str, text: str) -> None:
    """A forgotten blank makes a name of it, which is close to that of a real option."""
    with pytest.raises(ConfigError) as caught:
        reader.parse("mqtt: " + text.format(word), Config)
    assert f":{word}" not in str(caught.value)
    assert f"password{word}" not in str(caught.value)
