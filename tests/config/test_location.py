"""Which configuration file is read, and what a user who may not read it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hivewatch.config import location, reader
from hivewatch.config.location import find_config
from hivewatch.config.reader import load
from hivewatch.errors import ConfigError

NOBODY = 65534


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the installed file, which does not exist yet; the current folder has none either."""
    path = tmp_path / "etc" / "hivewatch.yaml"
    path.parent.mkdir()
    monkeypatch.setattr(location, "INSTALLED", path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return path


@contextmanager
def without_permission(path: Path) -> Iterator[None]:
    """Act as a person who may not read ``path``."""
    path.chmod(0)
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(uid)
        path.chmod(0o700)


def test_the_named_file_is_used_even_if_it_does_not_exist(installed: Path) -> None:
    installed.touch()
    assert find_config(Path("mine.yaml")) == Path("mine.yaml")


def test_the_file_in_the_current_folder_comes_before_the_installed_one(installed: Path) -> None:
    installed.touch()
    assert find_config(None) == installed
    Path("hivewatch.yaml").touch()
    assert find_config(None) == Path("hivewatch.yaml")


def test_without_any_file_the_message_says_how_to_start(installed: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither \./hivewatch\.yaml nor .*: name your file with --config"):
        find_config(None)


def test_a_file_that_a_person_may_not_read_needs_sudo(installed: Path) -> None:
    installed.write_text("camera: {kind: video}")
    with without_permission(installed), pytest.raises(ConfigError, match="use sudo") as caught:
        load(find_config(None))
    assert f"{installed}: may not be read by the user " in str(caught.value)


def test_a_file_in_a_folder_that_a_person_may_not_enter_needs_sudo(installed: Path) -> None:
    """As /etc/hivewatch is to the user pi."""
    installed.write_text("camera: {kind: video}")
    with without_permission(installed.parent), pytest.raises(ConfigError, match="use sudo"):
        load(find_config(None))


def test_a_password_file_that_a_person_may_not_read_needs_sudo(installed: Path) -> None:
    secrets = installed.parent / "credentials"
    secrets.mkdir()
    (secrets / "password").touch()
    text = f"mqtt: {{username: bees, password_file: {secrets}/password}}"
    with without_permission(secrets), pytest.raises(ConfigError, match=r"mqtt\.password_file: .*use sudo"):
        reader.parse(text, reader.Config)


def test_an_account_of_the_system_is_told_how_to_be_let_in(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo is nothing for the service's account."""
    installed.write_text("camera: {kind: video}")
    with without_permission(installed), monkeypatch.context() as patch:
        patch.setattr(reader, "_FIRST_PERSON", NOBODY + 100_000)
        with pytest.raises(ConfigError, match=r"by the account .*sudo chgrp"):
            load(installed)
