"""Commands on the data path: each is carried out exactly or not at all, and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fakes import make_frame, make_pixels
from support.payloads import EXAMPLES, LEAVES, payloads
from support.rig import Rig

from hivewatch.config.sections import Config, DecisionConfig, HiveConfig, MqttConfig
from hivewatch.daemon.commands import BURST, INBOX_SIZE, Inbox
from hivewatch.daemon.control import ControlService
from hivewatch.daemon.loop import Step
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError
from hivewatch.messages.documents import schema
from hivewatch.store import Store
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier, load_classifier

CONFIG = Config(
    hive=HiveConfig(id="h1"),
    mqtt=MqttConfig(commands=True),
    decision=DecisionConfig(threshold=0.8, release=0.65, votes=1, cool_down_s=0.0),
)
FRAME = make_frame(make_pixels(320, 240))
SEES_ALL = DecisionConfig(threshold=0.0, release=0.0, votes=1, cool_down_s=0.0)


class Hive(Rig):
    """A rig with the control service, given commands as the publisher's thread would."""

    def __init__(self, directory: Path, classifier: Classifier, config: Config = CONFIG) -> None:
        super().__init__(directory, config, classifier=classifier)
        self.inbox = Inbox()
        inbox = self.inbox if config.mqtt.commands else None
        self.control = self.add(
            ControlService(self.configuration, self.loop, self.recorder, self.clock, inbox, live=False)
        )

    def command(self, leaf: str, payload: bytes = b"{}", *, retained: bool = False) -> dict[str, Any] | None:
        """Let a command arrive with a frame, and return its answer."""
        before = len(self.answers())
        self.machine.pass_time(1)
        self.inbox.put(Message(f"hivewatch/h1/{leaf}", payload, retained))
        self.control.on_frame(Step(FRAME, None))
        self.tick()
        answers = self.answers()[before:]
        assert len(answers) <= 1
        return answers[0] if answers else None

    def answers(self) -> list[dict[str, Any]]:
        """Return all answers so far, each of which must fulfil the schema."""
        sent = [m for m in self.publisher.one_shots if m.topic == "hivewatch/h1/command/answer"]
        documents = [json.loads(message.payload) for message in sent]
        for document in documents:
            jsonschema.Draft202012Validator(schema("answer")).validate(document)
            assert document.keys() == schema("answer")["properties"].keys()
        return documents

    def settings(self) -> dict[str, Any]:
        """Return the published settings; they must fulfil the schema and agree with the switch topics."""
        document: dict[str, Any] = json.loads(self.publisher.last("settings"))
        jsonschema.Draft202012Validator(schema("settings")).validate(document)
        assert document.keys() == schema("settings")["properties"].keys()
        assert self.publisher.last("detection/state") == (b"OFF" if document["paused"] else b"ON")
        assert float(self.publisher.last("threshold/state")) == pytest.approx(document["threshold"], rel=1e-4)
        return document

    def in_force(self) -> tuple[float, float]:
        """Return the threshold and the release that the decider uses."""
        config = self.loop._decider._config
        return config.threshold, config.release


@pytest.fixture(scope="module")
def classifier(tiny_model_path: Path) -> Classifier:
    return load_classifier(tiny_model_path, 1, Stopwatch())


@pytest.fixture
def hive(tmp_path: Path, classifier: Classifier) -> Iterator[Hive]:
    """A hive that accepts commands."""
    hive = Hive(tmp_path, classifier)
    yield hive
    hive.store.close()


def test_a_command_is_answered_under_the_name_its_caller_gave_it(hive: Hive) -> None:
    """With what was done, and when."""
    answer = hive.command("command/pause", b'{"duration_s": 90, "id": "harvest"}')
    assert answer is not None
    expected = {"command": "pause", "id": "harvest", "accepted": True, "message": "paused for 90 s"}
    assert answer.items() >= expected.items()
    assert answer["at"] == "2027-05-14T10:00:01.000Z"


def test_a_pause_ends_after_its_duration(hive: Hive) -> None:
    """The settings show when."""
    hive.command("command/pause", b'{"duration_s": 90}')
    assert hive.settings()["paused_until"] == "2027-05-14T10:01:31.000Z"
    hive.machine.pass_time(89)
    hive.tick()
    assert hive.loop.paused
    hive.machine.pass_time(2)
    hive.tick()
    assert not hive.loop.paused
    assert not hive.settings()["paused"]


def test_a_pause_without_an_end_lasts_until_resumed(hive: Hive) -> None:
    """The switch of Home Assistant gives no duration."""
    hive.command("detection/set", b"OFF")
    hive.machine.pass_time(30 * 86_400)
    hive.tick()
    assert hive.settings()["paused"]
    assert hive.settings()["paused_until"] is None
    hive.command("detection/set", b"ON")
    assert not hive.settings()["paused"]


def test_while_paused_frames_arrive_an_open_visit_ends_and_the_background_learns(hive: Hive) -> None:
    """So that detection resumes at once, without an alarm for what has changed meanwhile."""
    hive.loop.configure(CONFIG.model_copy(update={"decision": SEES_ALL}))
    frames = (make_frame(make_pixels(320, 240, seed=n // 20), n, n) for n in range(200))
    steps = hive.loop.run(frames)
    assert next(steps).prediction is not None
    hive.command("command/pause")
    assert [sighting.phase for sighting in hive.sightings] == [Phase.START, Phase.END]
    background = hive.loop._gate._background
    assert background is not None
    before = background.copy()
    paused = [next(steps) for _ in range(100)]
    assert [step.prediction for step in paused] == [None] * 100
    assert len(hive.sightings) == 2
    assert np.abs(hive.loop._gate._background - before).mean() > 1  # type: ignore[operator]
    hive.command("command/resume")
    assert any(step.prediction is not None for step in steps)


def test_a_threshold_is_in_force_at_once_and_never_below_the_release(hive: Hive) -> None:
    """A lower threshold lowers the release with it; a reset restores both."""
    hive.command("threshold/set", b"0.9")
    assert hive.in_force() == (0.9, 0.65)
    hive.command("command/threshold", b'{"value": 0.5}')
    assert hive.in_force() == (0.5, 0.5)
    assert hive.settings().items() >= {"threshold": 0.5, "threshold_yaml": 0.8}.items()
    hive.command("threshold/set", b"reset")
    assert hive.in_force() == (0.8, 0.65)


def test_a_threshold_survives_a_restart_and_a_reload_and_a_pause_does_not(
    hive: Hive, tmp_path: Path, classifier: Classifier
) -> None:
    """A forgotten pause would look like a hive without hornets; the settings show both thresholds."""
    hive.command("threshold/set", b"0.9")
    hive.command("command/pause")
    (tmp_path / "hive.yaml").write_text(
        "hive: {id: h1}\ncamera: {kind: simulator}\nmqtt: {commands: true}\n"
        "decision: {threshold: 0.7, votes: 1, cool_down_s: 0.0}\n"
    )
    hive.configuration.reload()
    assert hive.in_force() == (0.9, 0.65)
    assert hive.settings()["threshold_yaml"] == 0.7
    hive.store.close()
    again = Hive(tmp_path, classifier)
    assert again.in_force() == (0.9, 0.65)
    assert again.settings().items() >= {"threshold": 0.9, "threshold_yaml": 0.8, "paused": False}.items()
    again.command("threshold/set", b"reset")
    again.store.close()
    third = Hive(tmp_path, classifier)
    assert third.in_force() == (0.8, 0.65)
    third.store.close()


def test_with_commands_disabled_none_is_carried_out_and_the_yaml_is_in_force(
    hive: Hive, tmp_path: Path, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    """A commanded threshold would otherwise stay, with no command to reset it."""
    hive.command("threshold/set", b"0.9")
    hive.store.close()
    disabled = Hive(tmp_path, classifier, CONFIG.model_copy(update={"mqtt": MqttConfig()}))
    assert disabled.command("command/pause") is None
    assert disabled.in_force() == (0.8, 0.65)
    assert not disabled.settings()["commands_enabled"]
    assert "the commanded threshold 0.9 is not in force" in caplog.text
    disabled.store.close()


def test_a_threshold_that_cannot_be_stored_is_rejected(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would silently be gone after a restart."""

    def full(_key: str, _value: str | None) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr(hive.store, "remember", full)
    answer = hive.command("threshold/set", b"0.9")
    assert answer is not None
    assert (answer["accepted"], answer["message"]) == (False, "cannot be done: the disk is full")
    assert hive.in_force() == (0.8, 0.65)


@pytest.mark.parametrize("text", ["", "often", "nan", "7", "-1"])
def test_a_damaged_state_leaves_the_yaml_in_force(tmp_path: Path, classifier: Classifier, text: str) -> None:
    """It costs a setting, not the watch."""
    with Store(tmp_path) as store:
        store.remember("threshold", text)
    hive = Hive(tmp_path, classifier)
    assert hive.in_force() == (0.8, 0.65)
    hive.store.close()


def test_a_snapshot_shows_the_current_view(hive: Hive) -> None:
    """The latest frame without annotations; the last hornet's picture on the broker stays."""
    answer = hive.command("command/snapshot")
    assert answer is not None
    assert answer["accepted"]
    (picture, _) = hive.publisher.one_shots
    assert (picture.topic, picture.retained) == ("hivewatch/h1/camera/snapshot", False)
    decoded = cv2.imdecode(np.frombuffer(picture.payload, np.uint8), cv2.IMREAD_COLOR)
    difference = decoded[..., ::-1].astype(int) - FRAME.pixels
    assert np.abs(difference).mean() < 12  # colours suffer in a JPEG; another picture is 60 away


def test_without_a_picture_snapshot_and_test_alert_are_rejected(hive: Hive) -> None:
    """In an outage no new frame comes with a tick, and no old one is presented as new."""
    answer = hive.command("command/snapshot")
    assert answer is not None
    assert answer["accepted"]
    hive.publisher.one_shots.clear()
    for name in ("snapshot", "test_alert"):
        hive.inbox.put(Message(f"hivewatch/h1/command/{name}", b'{"id": "1"}', retained=False))
    hive.tick()
    assert [(a["id"], a["accepted"]) for a in hive.answers()] == [("1", False)] * 2
    assert "the camera delivers no picture at the moment" in hive.answers()[0]["message"]


def test_a_test_alert_is_complete_marked_and_counted_nowhere(hive: Hive) -> None:
    """Start, picture and end as in a real visit; nothing is stored, queued or retained."""
    hive.command("command/test_alert")
    *alert, _answer = hive.publisher.one_shots
    assert [message.topic.rpartition("/")[2] for message in alert] == ["event", "snapshot", "event"]
    assert not any(message.retained for message in alert)
    events = [json.loads(alert[index].payload) for index in (0, 2)]
    for event in events:
        jsonschema.Draft202012Validator(schema("sighting")).validate(event)
        assert event["test"] is True
    assert [event["event_type"] for event in events] == ["start", "end"]
    assert events[0]["sighting_id"] == events[1]["sighting_id"]
    assert hive.store.sightings(10) == []
    assert hive.store.outbox_depth() == 0
    picture = cv2.imdecode(np.frombuffer(alert[1].payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > FRAME.height_px  # with a footer that says so


def test_a_retained_command_is_ignored(hive: Hive, caplog: pytest.LogCaptureFixture) -> None:
    """It would come again at every connection, and pause the watch each time."""
    assert hive.command("command/pause", retained=True) is None
    assert not hive.loop.paused
    assert "clear it on the broker" in caplog.text


@pytest.mark.parametrize("leaf", LEAVES)
def test_no_empty_message_pauses_the_watch_or_changes_the_threshold(hive: Hive, leaf: str) -> None:
    """It clears a retained message at the broker, and MQTT 3.1.1 delivers it as any other."""
    before = hive.in_force()
    hive.command(leaf, b"")
    assert not hive.loop.paused
    assert hive.in_force() == before


def test_refused_commands_are_summed_up_in_the_log(hive: Hive, caplog: pytest.LogCaptureFixture) -> None:
    """The first of a minute at once, the others in one line."""
    started_s = hive.machine.monotonic_s
    for _ in range(100):
        hive.command("command/pause", b'{"bogus": 1}')
        hive.command("command/pause", retained=True)
    refused = [entry for entry in caplog.messages if "refused" in entry or "ignored" in entry]
    assert 2 <= len(refused) <= (hive.machine.monotonic_s - started_s) / 60 + 1
    assert "more commands were refused or ignored within 60 s, the latest" in caplog.text


def test_its_own_answers_are_not_commands(hive: Hive) -> None:
    """With MQTT 3.1.1 the broker echoes them to the hive, which must not answer them in turn."""
    assert hive.command("command/answer", b"{}") is None


def test_a_flood_is_answered_and_changes_nothing_beyond_the_first_few(hive: Hive) -> None:
    """Ten at once are carried out; the others are rejected, and those beyond the inbox are counted."""
    for number in range(100):
        hive.inbox.put(Message("hivewatch/h1/threshold/set", f"0.{number + 10}".encode(), retained=False))
    hive.tick()
    answers = hive.answers()
    assert sum(answer["accepted"] for answer in answers) == BURST
    assert len(answers) == INBOX_SIZE + 1
    assert answers[-2]["message"] == "too many commands: at most one a second"
    assert answers[-1]["message"] == f"{100 - INBOX_SIZE} commands came too fast and were ignored"
    assert hive.in_force()[0] == pytest.approx(0.1 + 0.01 * (BURST - 1))


@pytest.fixture(scope="module")
def lasting_hive(tmp_path_factory: pytest.TempPathFactory, classifier: Classifier) -> Iterator[Hive]:
    """One hive for thousands of commands."""
    hive = Hive(tmp_path_factory.mktemp("lasting"), classifier)
    yield hive
    hive.store.close()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_command_is_answered_and_does_what_it_says_or_nothing(
    lasting_hive: Hive, data: st.DataObject
) -> None:
    """A rejected one leaves threshold and pause as they were; none puts a nonsensical threshold in force."""
    hive = lasting_hive
    leaf, payload = data.draw(st.sampled_from(LEAVES)), data.draw(payloads)
    hive.machine.pass_time(8 * 86_400)  # longer than any pause with an end, which would else end later
    hive.tick()
    hive.publisher.one_shots.clear()
    hive.publisher.states.clear()
    before = hive.in_force(), hive.loop.paused
    answer = hive.command(leaf, payload)
    assert answer is not None
    threshold, release = hive.in_force()
    assert 0 <= release <= threshold <= 1
    if not answer["accepted"]:
        assert (hive.in_force(), hive.loop.paused) == before
        assert hive.publisher.states == []
