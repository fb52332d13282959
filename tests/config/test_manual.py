"""config/hivewatch.yaml is the manual: its defaults, restart marks and texts are those of the sections."""

from __future__ import annotations

import pytest
from support.paths import PROJECT

from hivewatch.config.base import Mark, Option, options
from hivewatch.config.manual import close_names, entries, paragraphs, read_manual
from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

MANUAL = PROJECT / "config" / "hivewatch.yaml"

OPTIONS = list(options(Config))
DOCUMENTED = {entry.key: entry for entry in entries()}


def test_the_manual_states_exactly_the_defaults() -> None:
    assert load(MANUAL, needs_camera=False) == Config()


def test_the_manual_lacks_only_the_camera() -> None:
    with pytest.raises(ConfigError) as caught:
        load(MANUAL)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["camera.kind"]


def test_the_package_contains_the_manual() -> None:
    assert read_manual() == MANUAL.read_text()


def test_the_manual_documents_every_option_and_no_other() -> None:
    sections = {option.key[:depth] for option in options(Config) for depth in range(1, len(option.key))}
    assert set(DOCUMENTED) == {option.key for option in options(Config)} | sections


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_manual_begins_with_the_description_of_the_option(option: Option) -> None:
    assert option.field.description, "every option has a description"
    assert option.field.description.endswith(".")
    assert " ".join(DOCUMENTED[option.key].comment).startswith(option.field.description)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_restart_marks_of_the_manual_are_those_of_the_options(option: Option) -> None:
    assert DOCUMENTED[option.key].needs_restart == (Mark.RESTART in option.marks)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_paragraph_of_its_own(option: Option) -> None:
    (paragraph,) = paragraphs(option.name)
    assert paragraph.splitlines()[0].startswith(option.name)
    assert str(option.field.description).split(".")[0] in paragraph.replace("\n  ", " ")


def test_a_section_stands_for_all_its_options_and_a_last_name_for_every_option_of_it() -> None:
    assert len(paragraphs("mqtt.tls")) == 5
    assert [text.split()[0] for text in paragraphs("rate_hz")] == ["camera.rate_hz"]
    assert len(paragraphs("enabled")) > 2


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("camera.kin", "camera.kind"),
        ("treshold", "decision.threshold"),
        ("mqtt.pasword", "mqtt.password_file"),
    ],
)
def test_a_misspelt_option_has_close_names(name: str, meant: str) -> None:
    assert paragraphs(name) == []
    assert meant in close_names(name)
