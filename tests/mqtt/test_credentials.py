"""The file with the password: small, one line, and never repeated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hivewatch.config.sections import MqttConfig
from hivewatch.errors import ConfigError
from hivewatch.mqtt.credentials import CREDENTIAL, read_password

WORD = "GEHEIM123"


@pytest.mark.parametrize("content", [f"{WORD}", f"{WORD}\n", f"{WORD}\r\n"])
def test_the_end_of_the_line_is_not_part_of_the_password(content: str, tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_bytes(content.encode())
    assert read_password(MqttConfig(username="bees", password_file=file)) == WORD


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{WORD}\nuser\n".encode(), "has more than one line"),
        (f"{WORD}ä".encode("latin-1"), "save the password as UTF-8"),
        (WORD.encode() * 10_000, "more than 50000 bytes"),
    ],
)
def test_another_file_is_refused_without_repeating_it(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"mqtt\.password_file .*{words}") as caught:
        read_password(MqttConfig(username="bees", password_file=file))
    assert WORD not in str(caught.value)
    assert WORD not in str(caught.value.__cause__)


@pytest.mark.parametrize("is_credential", [False, True])
def test_what_is_no_file_is_refused_at_once(
    is_credential: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / CREDENTIAL
    os.mkfifo(pipe)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="it is a pipe, not a file"):
        read_password(MqttConfig(username="bees", password_file=None if is_credential else pipe))
