"""The file that init writes: what it contains, who may read it, and that it overwrites nothing."""

from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.users import make_closed_folder, without_rights

from hivewatch.config.reader import load, parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError
from hivewatch.setup_wizard.answers import make_id, parse_name
from hivewatch.setup_wizard.file import password_path, require_new, write_files, yaml_text

TODAY = date(2026, 11, 25)
CAMERA = {"kind": "simulator"}


def test_the_file_contains_the_choices_below_their_descriptions() -> None:
    text = yaml_text({"hive": {"id": "pear", "name": "Pear tree"}, "mqtt": {"tls": {"enabled": True}}}, TODAY)
    assert "made with `hivewatch init` on 2026-11-25" in text
    assert (
        "hive:\n"
        "  # Short name of the hive in topics: letters, digits, _ and -.\n"
        "  id: pear\n"
        "  # Name for people, part of every alert.\n"
        '  name: "Pear tree"\n'
        "\n"
        "mqtt:\n"
        "  tls:\n"
        "    # Encrypt the connection and verify the broker's certificate and host name.\n"
        "    enabled: true\n"
    ) in text


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=100))
def test_any_printable_name_is_written_so_that_it_is_read_again(name: str) -> None:
    hive = parse_name(name)
    text = yaml_text({"hive": {"id": hive.id, "name": hive.name}, "camera": CAMERA}, TODAY)
    assert parse(text, Config).hive == hive


@pytest.mark.parametrize("word", ["no", "On", "null", "1e3", "0x1f", "2026-11-25", "~", "- a", "a: b", "#1"])
def test_a_word_with_a_meaning_in_yaml_stays_text(word: str) -> None:
    text = yaml_text({"camera": CAMERA, "mqtt": {"username": word}}, TODAY)
    assert parse(text, Config).mqtt.username == word


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Hive 1", "hive-1"),
        ("Ruche à côté", "ruche-a-cote"),
        ("  Großer Stock (links)  ", "grosser-stock-links"),
        ("蜂の巣", "hive1"),
        ("x" * 100, "x" * 64),
        ("a_b/c#d+e", "a-b-c-d-e"),
    ],
)
def test_the_id_resembles_the_name(name: str, id_: str) -> None:
    assert make_id(name) == id_
    assert parse_name(name).id == id_


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "the name is empty"),
        ("x" * 101, "the name is too long: 101 characters"),
        ("keeper:word@10.0.0.9", "the name must be no address and contain no password"),
        ("bell\x07", "contains characters that cannot be printed"),
        ("\udc80", "contains characters that cannot be printed"),
    ],
)
def test_a_name_that_cannot_be_used_is_answered_with_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_name(name)


def test_the_password_is_in_a_file_of_its_own_for_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "hive.yaml"
    settings = {"camera": CAMERA, "mqtt": {"username": "bee", "password_file": "hive.password"}}
    write_files(file, yaml_text(settings, TODAY), "s3cret")
    config = load(file)
    assert config.mqtt.password_file == password_path(file)
    assert password_path(file).read_text() == "s3cret\n"
    assert "s3cret" not in file.read_text()
    assert stat.S_IMODE(password_path(file).stat().st_mode) & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for a service")
def test_files_of_root_are_readable_by_the_group_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, 44)
    file = tmp_path / "hive.yaml"
    settings = {"camera": CAMERA, "mqtt": {"username": "bee", "password_file": "hive.password"}}
    write_files(file, yaml_text(settings, TODAY), "s3cret")
    for written in (file, password_path(file)):
        assert (written.stat().st_gid, stat.S_IMODE(written.stat().st_mode)) == (44, 0o640)


def test_settings_that_are_not_valid_leave_no_file(tmp_path: Path) -> None:
    settings = {"camera": CAMERA, "mqtt": {"username": "bee", "password_file": "other.password"}}
    with pytest.raises(ConfigError, match="no such file"):
        write_files(tmp_path / "hive.yaml", yaml_text(settings, TODAY), "s3cret")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"hive\.yaml cannot be written: File exists"):
        write_files(file, yaml_text({"camera": CAMERA}, TODAY), "s3cret")
    assert file.read_text() == "mine"
    assert not password_path(file).exists()


def test_an_existing_file_is_refused_before_any_question(tmp_path: Path) -> None:
    (tmp_path / "hive.yaml").touch()
    with pytest.raises(ConfigError, match=r"hive\.yaml exists and is not overwritten: edit it, move it away"):
        require_new(tmp_path / "hive.yaml")


def test_a_folder_that_does_not_exist_is_refused_before_any_question(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*/nowhere: make it first"):
        require_new(tmp_path / "nowhere" / "hive.yaml")


def test_a_folder_that_is_not_open_to_the_user_is_refused_before_any_question(tmp_path: Path) -> None:
    closed = make_closed_folder(tmp_path / "hivewatch")
    with pytest.raises(ConfigError, match=r"may not look at .*: use sudo"), without_rights(Path("/")):
        require_new(closed / "hive.yaml")


def test_a_folder_that_the_user_may_not_write_to_is_refused_before_any_question(tmp_path: Path) -> None:
    for folder in (tmp_path.parent.parent, tmp_path.parent):
        folder.chmod(0o755)
    tmp_path.chmod(0o555)
    with pytest.raises(ConfigError, match=r"this user may not create .*: use sudo"), without_rights(tmp_path):
        require_new(tmp_path / "hive.yaml")
