"""The YAML reader: every mistake is reported at once with its line, and no secret is repeated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from hivewatch.config.reader import load, parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

TEN_MISTAKES = """\
camera:
  kind: simulater
  with_px: 1280
  rate_hz: "5"
gate:
  watch: [[[0, 0], [1, 2], [0, 1]], [[0, 0], [1, 1]]]
decision:
  treshold: 0.7
  votes: 9
  votes: 2
mqtt:
  port: 70000
  password_file: secret.txt
  username: bees
unknown: 1
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Config, name="hive.yaml")
    return caught.value.problems


def test_a_name_that_is_not_utf_8_is_a_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"h\xe4")
    folder.mkdir()
    (folder / "hive.yaml").write_text("camera: {kind: simulator}\nstore: {directory: data}")
    with pytest.raises(ConfigError, match="the name of its folder, is not UTF-8: rename it"):
        load(folder / "hive.yaml")


def test_half_a_character_in_a_name_is_a_clear_error() -> None:
    (problem,) = problems('camera: {kind: video, video: {source: "h\\uDCE4.mp4"}}')
    assert "camera.video.source: contains half a character: write it again" in problem


def test_an_empty_file_means_the_defaults() -> None:
    assert parse("", Config) == Config()


def test_a_section_with_all_options_commented_out_means_the_defaults() -> None:
    assert parse("hive:\ncamera:\n  folder:\n", Config) == Config()


def test_each_of_ten_mistakes_is_reported_with_its_line() -> None:
    found = problems(TEN_MISTAKES)
    expected = [
        (2, "camera.kind", "should be video, picamera2, folder or simulator; write kind: simulator"),
        (3, "camera.with_px", "did you mean width_px?"),
        (4, "camera.rate_hz", "should be a number: write 5, without quotes"),
        (6, "gate.watch[0][1][1]", "must be at most 1"),
        (6, "gate.watch[1]", "at least 3 points"),
        (8, "decision.treshold", "did you mean threshold?"),
        (9, "decision.votes", "given twice, again on line 10"),
        (12, "mqtt.port", "65535"),
        (13, "mqtt.password_file", "no such file"),
        (15, "...", "known here: hive, camera"),
    ]
    assert len(found) == len(expected)
    for message, (line, key, words) in zip(found, expected, strict=True):
        assert message.startswith(f"hive.yaml:{line}: {key}: ")
        assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("decision: {release: 0.9}", "release must not be above threshold"),
        ("decision: {votes: 6}", "votes must not be more than out_of"),
        ("camera: {rate_hz: 0.1}", "votes can never be reached: window_s is too short"),
        ("camera: {rate_hz: 0.1}", "(decision.votes is 3 by default, decision.window_s is 10 by default, "),
        ("camera: {rate_hz: 0.1}", "camera.rate_hz is 0.1)"),
        ("decision: {window_s: 0.1}", "votes can never be reached: window_s is too short"),
        ("mqtt: {password_file: /dev/null}", "needs a username"),
        ("camera: {kind: folder}", "folder.path must name one"),
        ("camera: {checks: {dark_level: 250}}", "dark_level must be below white_level"),
        ("camera: {video: {reconnect_first_s: 90}}", "reconnect_first_s must not be longer"),
    ],
)
def test_options_that_contradict_each_other_are_reported(text: str, words: str) -> None:
    assert words in "\n".join(problems(text))


@pytest.mark.parametrize(
    "text", ["a: [", "- 1", "5", "a: &x [*x]", "? {a: 1}\n: 2", "a: !!python/name:os.system x", "a: !!bool x"]
)
def test_what_is_not_a_yaml_mapping_is_one_clear_problem(text: str) -> None:
    assert len(problems(text)) == 1


def test_aliases_that_expand_to_millions_of_values_are_rejected_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too many values" in problems("\n".join(lines))[0]


@pytest.mark.parametrize("value", ["0x" + "9" * 40_000, "1" + ":10" * 10_000, "9" * 40_000])
def test_a_number_of_thousands_of_digits_is_one_clear_problem(value: str) -> None:
    (problem,) = problems(f"mqtt: {{port: {value}}}")
    assert problem == "hive.yaml:1: mqtt.port: cannot be read: put it in quotes if it is text"


@pytest.mark.parametrize("value", ["~nobody-here/x", "x" * 5000, '"a\\0b"'])
def test_a_value_that_cannot_be_a_path_is_reported(value: str) -> None:
    assert "path" in problems(f"store: {{directory: {value}}}")[0].lower()


@pytest.mark.parametrize("value", ["yes", '"5"', "[5]", ".nan", ".inf", "2020-01-01", "null"])
def test_a_number_is_never_guessed_from_something_else(value: str) -> None:
    assert "camera.rate_hz" in problems(f"camera: {{rate_hz: {value}}}")[0]


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("secret")
    file = tmp_path / "hive.yaml"
    file.write_text(
        "camera: {kind: video}\nmqtt: {username: bees, password_file: word}\nstore: {directory: data}\n"
    )
    config = load(file)
    assert config.mqtt.password_file == tmp_path / "word"
    assert config.store.directory == tmp_path / "data"


def test_a_missing_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; start with a copy of the manual"):
        load(tmp_path / "hive.yaml")


def test_a_file_that_is_not_text_is_a_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "hive.yaml").write_bytes(b"\xff\xfe\x00camera")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        load(tmp_path / "hive.yaml")


def test_a_password_in_a_stream_address_is_never_repeated() -> None:
    text = yaml.safe_dump({"camera": {"video": {"source": ["rtsp://me:hush@cam/"]}}, "mqtt": {"username": 5}})
    assert "hush" not in "\n".join(problems(text))


@pytest.mark.parametrize("name", ["Paris", "Europe/Pariss", "../etc/passwd", "GMT+25", "/"])
def test_an_unknown_time_zone_is_rejected_with_what_to_write(name: str) -> None:
    (problem,) = problems(f"hive: {{time_zone: {name}}}")
    assert "no such time zone: use one of `timedatectl list-timezones`, or leave it empty" in problem


def test_the_zone_of_a_hive_is_that_of_the_machine_unless_named() -> None:
    assert parse("", Config).hive.zone is None
    assert str(parse("hive: {time_zone: America/Bogota}", Config).hive.zone) == "America/Bogota"
