"""A fault of YAML is one line that says what to write, and hides no mistake elsewhere in the file."""

from __future__ import annotations

import pytest

from hivewatch.config.reader import parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

# A mistake after the fault, which must be reported as well.
LATER = "\nlog:\n  level: loud\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Config, name="hive.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("gate:\n  watch: [[[0.1, 0.3], [0.9, 0.3], [0.9, 0.9]]", 2, "missing: the [ that opens here"),
        ("gate:\n  watch: [[[0.1, 0.3], [0.9, 0.3], [0.9, 0.9]]\n  ignore: []", 2, "needs its ]"),
        ("gate:\n  watch:\n    [[[0.1, 0.3],\n     [0.9, 0.3],\n     [0.9, 0.9]]", 3, "needs its ]"),
        ("gate:\n  watch: []]", 2, "contains a bracket or comma too many"),
        ("hive: {id: north", 1, "a bracket is missing: the { that opens here needs its }"),
        ("hive: {name: the: hive}", 1, "a comma or } is missing, or quotes around a text"),
        ('hive:\n  id: "north\n  name: North', 2, "the quotation mark that opens here is never closed"),
        ('hive:\n  name: "North" hive', 2, "has text after the closing quotation mark"),
        ("camera: kind: video", 1, "has two names: write the second one in a line of its own"),
        ("camera:\n  video: source: /dev/video0", 2, "has two names: write the second one"),
        ("hive:\n  name: North: the hive", 2, "contains a second colon: put the value in quotes"),
        ("hive:\n  name: @north", 2, "a value cannot begin with @: put it in quotes"),
        ("hive:\n  name: %north", 2, "a value cannot begin with %: put it in quotes"),
        ("hive:\n  name: *north", 2, "a value cannot begin with *: put it in quotes"),
        ('hive:\n  name: "C:\\hive"', 2, "contains a \\ in double quotes"),
        ("hive:\n  id: north\n  - name: North", 3, "begins with -, which starts a list"),
        ("camera:\n\tkind: video", 2, "is indented with a tab: use blanks"),
        ("camera:\n  kind: video\n    width_px: 640\n    height_px: 480", 3, "is indented further"),
        ("camera:\n    kind: video\n  width_px: 64\n  height_px: 64\n  rate_hz: 2", 3, "in the same column"),
        ("mqtt:\n  host:localhost\n  port: 1883", 2, "a blank is missing after the colon"),
        ("mqtt:\n  host:localhost", 1, "a blank is missing after the colon: write `name: value`"),
        ("mqtt\n  host: localhost", 1, "a colon is missing: write `mqtt:`"),
        ("mqtt:\n  tls\n    enabled: true", 2, "a colon is missing: write `tls:`"),
        ("mqtt:\nhost: a\nport: 1\nusername: x\nversion: 5\ncommands: true\nkeepalive_s: 60", 1,
         "mqtt: its options are not indented: put two more blanks before host, port, username"),
        ("camera:\n  video:\n  source: x\n  give_up_after_s: 1", 2, "its options are not indented"),
        ("hive:\n  name: a\x01b", 2, "contains a control character"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_and_hides_no_later_mistake(text: str, line: int, sentence: str) -> None:
    first, *others = problems(text + LATER)
    assert first.startswith(f"hive.yaml:{line}: ")
    assert sentence in first
    assert [other.split(": ")[1] for other in others] == ["log.level"]


def test_other_lines_of_a_section_with_a_fault_are_read() -> None:
    found = problems("mqtt:\n  port: 0\n  username: @bees\n  keepalive_s: 1\n")
    assert [problem.split(": ")[0] for problem in found] == [f"hive.yaml:{n}" for n in (2, 3, 4)]


def test_options_below_a_section_that_lacks_its_indentation_are_checked() -> None:
    assert "mqtt.port: must be at least 1" in problems("mqtt:\nport: 0\n")[1]


def test_several_faults_are_reported_at_once() -> None:
    found = problems('hive: {id: a\ncamera:\n  kind: "video\nmqtt:\n  port: 0\ngate:\n  watch: [\n')
    assert [problem.split(": ")[0] for problem in found] == [f"hive.yaml:{n}" for n in (1, 3, 5, 7)]


@pytest.mark.parametrize("text", ["hive:\n---\nlog:", "\x00", "{", "? [", "%YAML 9.9\n---\nlog:", "'" * 999])
def test_a_file_that_is_beyond_repair_is_one_line(text: str) -> None:
    assert len(problems(text)) == 1


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_as_on_other_systems(end: str) -> None:
    (problem,) = problems(f"hive:{end}  id: north{end}log:{end}  level: loud{end}")
    assert problem.startswith("hive.yaml:4: log.level: ")


def test_brackets_without_end_are_refused_at_once() -> None:
    assert "nested too deeply" in problems("[" * 100_000)[0]
