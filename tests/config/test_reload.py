"""A changed file is taken over as far as possible without a restart."""

from __future__ import annotations

from hivewatch.config.base import Mark, options
from hivewatch.config.reader import parse
from hivewatch.config.reload import reload
from hivewatch.config.sections import Config


def test_options_that_need_no_restart_are_taken_over() -> None:
    new = parse("decision: {threshold: 0.9}\nstore: {jpeg_quality: 80}\nlog: {level: debug}\n", Config)
    done = reload(Config(), new)
    assert done.config == new
    assert done.changed == ["decision.threshold", "log.level", "store.jpeg_quality"]
    assert done.waiting == []


def test_options_that_need_a_restart_keep_their_value_and_are_named() -> None:
    new = parse("store: {directory: /srv/x, jpeg_quality: 80}\nmqtt: {tls: {enabled: true}}\n", Config)
    done = reload(Config(), new)
    assert done.config == parse("store: {jpeg_quality: 80}", Config)
    assert done.changed == ["store.jpeg_quality"]
    assert done.waiting == ["mqtt.tls.enabled", "store.directory"]


def test_the_same_file_changes_nothing() -> None:
    assert reload(Config(), Config()) == (Config(), [], [])


def test_sections_whose_objects_are_built_at_start_need_a_restart() -> None:
    """These are built once at start: a change that is half applied would be worse than one that waits."""
    needing = {option.key[0] for option in options(Config) if Mark.RESTART in option.marks}
    assert needing == {"hive", "camera", "classifier", "store", "outbox", "mqtt", "clock"}
