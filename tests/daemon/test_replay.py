"""Replay: files run through the daemon's own loop, and each frame is printed as one line of JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.brokers import Broker, Subscriber, free_port, wait_until
from support.daemons import ALWAYS_A_HORNET
from support.fakes import make_pixels
from support.users import without_rights

from hivewatch.camera.sources.clip import ClipCamera
from hivewatch.cli.main import main
from hivewatch.daemon.replay import find_sources
from hivewatch.errors import CameraError
from hivewatch.store import Store

pytestmark = pytest.mark.slow

FRAME_KEYS = {"file", "frame", "score", "peak", "box", "gated"}


def write_clip(path: Path, frames: int = 12, *, moving: bool = True) -> Path:
    """Write a clip of 10 frames a second in which a dark patch moves over a still picture."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for n in range(frames):
        picture = make_pixels(160, 120)
        if moving:
            cv2.rectangle(picture, (10 * n, 40), (10 * n + 20, 60), (0, 0, 0), -1)
        writer.write(picture)
    writer.release()
    return path


def write_picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), make_pixels(160, 120, seed))
    return path


class Replay:
    """A replay that has run: its exit code, its stdout as JSON lines, its stderr."""

    def __init__(self, model: Path, *arguments: object, port: int | None = None, **sections: Any) -> None:
        folder = model.parent / f"replay-{len(list(model.parent.iterdir()))}"
        folder.mkdir()
        self.store = folder / "store"
        config = {
            "classifier": {"model": str(model), "threads": 1},
            "decision": ALWAYS_A_HORNET,
            "store": {"directory": str(self.store)},
            "mqtt": {"host": "127.0.0.1", "port": port or free_port(), "acknowledge_timeout_s": 2},
        } | sections
        (folder / "hivewatch.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "hivewatch", "replay", "--config", str(folder / "hivewatch.yaml")]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.lines = [json.loads(line) for line in self.stdout.splitlines()] if "--json" in arguments else []
        self.frames = [line for line in self.lines if "frame" in line]
        self.events = [line["sighting"] for line in self.lines if "sighting" in line]


def test_the_frames_of_clips_and_pictures_below_a_folder_are_a_line_each(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    clip = write_clip(tmp_path / "b" / "clip.avi")
    pictures = [
        write_picture(tmp_path / "a" / name, seed) for seed, name in enumerate(["2.jpg", "10.png", "x.webp"])
    ]
    replay = Replay(tiny_model_path, "--json", "--ungated", tmp_path)
    assert replay.code == 0, replay.stderr
    assert [(line["file"], line["frame"]) for line in replay.frames] == [
        *((str(picture), 0) for picture in pictures),
        *((str(clip), n) for n in range(0, 12, 2)),  # of 10 frames a second, 5
    ]
    for line in replay.frames:
        assert set(line) == FRAME_KEYS
        assert line["gated"] is False
        assert 0 <= line["score"] <= 1
        assert all(0 <= value <= 1 for value in line["peak"] + (line["box"] or []))


def test_a_clip_is_taken_at_the_rate_of_the_camera(tmp_path: Path, tiny_model_path: Path) -> None:
    replay = Replay(tiny_model_path, "--json", write_clip(tmp_path / "c.avi"), camera={"rate_hz": 2.5})
    assert [line["frame"] for line in replay.frames] == [0, 4, 8]


def test_a_frame_the_gate_holds_back_has_no_score(tmp_path: Path, tiny_model_path: Path) -> None:
    clip = write_clip(tmp_path / "still.avi", frames=100, moving=False)
    replay = Replay(tiny_model_path, "--json", clip)
    held_back = [line for line in replay.frames if line["gated"]]
    assert len(replay.frames) == 50
    assert held_back
    assert all(line["score"] is line["peak"] is line["box"] is None for line in held_back)


def test_each_picture_is_judged_by_itself(tmp_path: Path, tiny_model_path: Path) -> None:
    """Neither votes nor motion join pictures that carry no time; each hornet is a sighting of its own."""
    pictures = [write_picture(tmp_path / f"{n}.png", seed=7) for n in range(3)]
    decision = {**ALWAYS_A_HORNET, "votes": 3, "out_of": 3, "cool_down_s": 60.0}
    replay = Replay(tiny_model_path, "--json", *pictures, decision=decision)
    assert len({line["score"] for line in replay.frames}) == 1, "the same picture has the same score"
    assert [(event["event_type"], event["source"]) for event in replay.events] == [
        (phase, str(picture)) for picture in pictures for phase in ("start", "end")
    ]
    assert len({event["sighting_id"] for event in replay.events}) == 3
    assert {(event["votes_for"], event["votes"]) for event in replay.events} == {(1, 1)}


def test_each_source_has_sightings_of_its_own_which_are_stored(tmp_path: Path, tiny_model_path: Path) -> None:
    clips = [write_clip(tmp_path / name) for name in ("one.avi", "two.avi")]
    replay = Replay(tiny_model_path, "--json", *clips)
    assert [
        (event["event_type"], event["source"]) for event in replay.events if event["event_type"] != "update"
    ] == [(phase, str(clip)) for clip in clips for phase in ("start", "end")]
    with Store(replay.store) as store:
        assert {sighting.id for sighting in store.sightings(10)} == {e["sighting_id"] for e in replay.events}
        assert store.outbox_depth() == 0, "nothing is queued without --publish"


def test_publish_sends_every_printed_event_to_the_broker(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber:
        replay = Replay(
            tiny_model_path, "--json", "--publish", write_clip(tmp_path / "c.avi"), port=broker.port
        )
        wait_until(lambda: len(subscriber.on("event")) >= len(replay.events), "all events arrive")
    assert replay.code == 0, replay.stderr
    assert [json.loads(payload) for payload in subscriber.on("event")] == replay.events
    assert subscriber.on("availability") == [], "a replay is not the hive's daemon"


def test_publish_without_a_broker_ends_with_code_7_and_keeps_the_alerts(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    replay = Replay(tiny_model_path, "--json", "--publish", write_clip(tmp_path / "c.avi"))
    assert replay.code == 7
    assert "wait in" in replay.stderr
    with Store(replay.store) as store:
        assert store.outbox_depth() >= 2


def test_out_stores_the_sightings_elsewhere(tmp_path: Path, tiny_model_path: Path) -> None:
    replay = Replay(tiny_model_path, "--json", "--out", tmp_path / "out", write_clip(tmp_path / "c.avi"))
    with Store(tmp_path / "out") as store:
        assert len(store.sightings(10)) == 1
    assert not replay.store.exists()


def test_without_json_a_clip_is_answered_with_its_visits_in_the_time_of_the_clip(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    clip = write_clip(tmp_path / "c.avi", frames=30)
    visit, answer = Replay(tiny_model_path, clip).stdout.splitlines()
    assert re.fullmatch(
        rf"{clip}: hornet from 0:00 to 0:03, best picture \d+ % at 0:0[0-3], (in|on|at) .+", visit
    )
    assert answer == f"{clip}: 1 visit of a hornet in 0:03"


def test_without_json_no_hornet_is_said_plainly(tmp_path: Path, tiny_model_path: Path) -> None:
    clip, picture = write_clip(tmp_path / "c.avi"), write_picture(tmp_path / "p" / "1.png")
    never = {"threshold": 1.0, "release": 1.0}
    of_clip, of_picture, total = Replay(
        tiny_model_path, "--ungated", clip, picture, decision=never
    ).stdout.splitlines()
    assert of_clip.startswith(f"{clip}: no hornet in 0:01; the highest score of a frame is ")
    assert of_picture.startswith(f"{picture}: no hornet (score ")
    assert total == "In all: no hornet in 1 picture; no hornet in 1 clip"


def test_without_json_a_folder_is_answered_with_how_many_show_a_hornet_and_which(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    pictures = [write_picture(tmp_path / "p" / f"{n}.png", n) for n in range(4)]
    scored = Replay(tiny_model_path, "--json", tmp_path / "p")
    scores = {line["file"]: line["score"] for line in scored.frames}
    threshold = sorted(scores.values())[2]
    found = [str(picture) for picture in pictures if scores[str(picture)] >= threshold]
    decision = {"threshold": threshold, "release": 0.0}
    *hornets, answer = Replay(tiny_model_path, tmp_path / "p", decision=decision).stdout.splitlines()
    assert [line.partition(": hornet ")[0] for line in hornets] == found
    assert answer == f"{tmp_path / 'p'}: 2 of 4 pictures show a hornet"


def test_report_writes_a_page_with_the_pictures_of_what_was_found(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    clip = write_clip(tmp_path / "<i>c&.avi", frames=30)
    write_picture(tmp_path / "p" / "1.png")
    (tmp_path / "broken.mp4").write_text("not a clip")
    report = tmp_path / "new" / "report"
    replay = Replay(tiny_model_path, "--report", report, clip, tmp_path / "p", tmp_path / "broken.mp4")
    assert replay.code == 4, "a clip that cannot be read is still an error"
    page = (report / "index.html").read_text()
    files = re.findall(r'src="([^"]+)"', page)
    assert len(set(files)) == 4, "clean and annotated, of the clip and of the picture"
    assert all(cv2.imread(str(report / file)) is not None for file in files)
    assert "broken.mp4 cannot be opened as a video" in page
    assert "&lt;i&gt;c&amp;.avi" in page
    assert "<i>" not in page
    assert replay.stdout.splitlines()[-1] == f"Report: {report / 'index.html'}"


def test_report_does_not_overwrite_what_is_in_a_folder(tmp_path: Path, tiny_model_path: Path) -> None:
    picture = write_picture(tmp_path / "p" / "1.png")
    replay = Replay(tiny_model_path, "--report", tmp_path / "p", picture)
    assert replay.code == 6
    assert f"the folder {tmp_path / 'p'} for the report is not empty: name a new one" in replay.stderr
    assert list((tmp_path / "p").iterdir()) == [picture]


def test_bad_files_among_good_ones_are_named_and_skipped(tmp_path: Path, tiny_model_path: Path) -> None:
    write_picture(tmp_path / "1-good.jpg")
    whole = (tmp_path / "1-good.jpg").read_bytes()
    (tmp_path / "2-cut-off.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3-text.avi").write_text("not a video")
    cv2.imwrite(str(tmp_path / "4-dot.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "5-grey.png"), np.zeros((90, 120), np.uint8))
    replay = Replay(tiny_model_path, "--json", "--ungated", tmp_path)
    assert [Path(line["file"]).name for line in replay.frames] == ["1-good.jpg", "4-dot.png", "5-grey.png"]
    assert replay.code == 4
    assert "2-cut-off.jpg" in replay.stderr
    assert "3-text.avi" in replay.stderr
    assert "Traceback" not in replay.stderr


@pytest.mark.parametrize(
    ("name", "words"), [("missing", "does not exist"), ("notes.txt", "neither"), ("", "contains no")]
)
def test_a_path_with_nothing_to_replay_is_a_clear_error(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(CameraError, match=words):
        find_sources([tmp_path / name], 5.0)


def test_a_path_that_the_user_may_not_read_is_a_clear_error(tmp_path: Path) -> None:
    picture, clip = write_picture(tmp_path / "a" / "1.jpg"), write_clip(tmp_path / "a" / "c.avi")
    tmp_path.chmod(0o755)
    (tmp_path / "a").chmod(0)
    with without_rights(tmp_path):
        for path in (picture, clip):
            with pytest.raises(CameraError, match=f"^{path} cannot be read: Permission denied"):
                find_sources([path], 5.0)
        with pytest.raises(CameraError, match="a cannot be listed: Permission denied"):
            find_sources([tmp_path], 5.0)


def test_pictures_with_clips_between_them_are_one_source_in_order(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_picture(tmp_path / f"img{number}.jpg")
        write_clip(tmp_path / f"img{number}b.avi", frames=2)
    pictures, *clips = find_sources([tmp_path], 5.0)
    assert (pictures.name, pictures.length, pictures.is_clip) == (str(tmp_path), 3, False)
    assert [clip.name for clip in clips] == [str(tmp_path / f"img{n}b.avi") for n in (1, 2, 3)]
    names = [Path(frame.source).name for frame in pictures.camera.frames(threading.Event())]
    assert names == ["img1.jpg", "img2.jpg", "img3.jpg"]


def test_a_file_named_twice_or_linked_to_is_replayed_once(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "a" / "2.jpg").symlink_to(picture)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    (source,) = find_sources([tmp_path, picture, tmp_path / "again"], 5.0)
    assert (source.name, source.length) == (str(picture), 1)


def test_a_link_that_leads_out_of_its_folder_is_told_and_the_rest_is_replayed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = write_picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "a" / "loop").symlink_to("..")
    (source,) = find_sources([tmp_path / "a"], 5.0)
    assert source.name == str(picture)
    assert "loop is not followed" in caplog.text


def test_files_of_other_kinds_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_picture(tmp_path / "1.jpg")
    for name in ("2.heic", "3.HEIC", "4.wmv"):
        (tmp_path / name).write_bytes(b"")
    find_sources([tmp_path], 5.0)
    assert "passed over 2 .heic, 1 .wmv" in caplog.text
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(CameraError, match=r"contains no picture and no clip; passed over 2 \.heic, 1 \.wmv"):
        find_sources([tmp_path], 5.0)


def test_names_that_are_not_utf_8_are_replayed_stored_sent_and_shown(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    clip = write_clip(tmp_path / "c.avi", frames=30).rename(tmp_path / os.fsdecode(b"c\xe4.avi"))
    picture = write_picture(tmp_path / "p.jpg").rename(tmp_path / os.fsdecode(b"p\xe4.jpg"))
    arguments = ("--publish", clip, picture)
    with Subscriber(broker.port) as subscriber:
        as_json = Replay(tiny_model_path, "--json", *arguments, port=broker.port)
        wait_until(lambda: len(subscriber.on("event")) >= len(as_json.events), "all events arrive")
    assert as_json.code == 0, as_json.stderr
    assert {line["file"] for line in as_json.frames} == {rf"{tmp_path}/c\xe4.avi", rf"{tmp_path}/p\xe4.jpg"}
    assert [json.loads(payload) for payload in subscriber.on("event")] == as_json.events
    report = tmp_path / "report"
    in_words = Replay(tiny_model_path, "--report", report, clip, picture)
    assert rf"{tmp_path}/c\xe4.avi: 1 visit of a hornet" in in_words.stdout
    assert r"p\xe4.jpg: hornet" in (report / "index.html").read_text("utf-8")


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    write_picture(tmp_path / ".thumbnails" / "1.jpg")
    write_picture(tmp_path / "2.jpg")
    (source,) = find_sources([tmp_path], 5.0)
    assert source.length == 1


def test_an_interrupted_replay_says_so_and_writes_the_page_of_what_it_has_found(
    tmp_path: Path, tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    picture, clip = write_picture(tmp_path / "1.png"), write_clip(tmp_path / "c.avi")
    config = tmp_path / "hivewatch.yaml"
    sections = {"classifier": {"model": str(tiny_model_path), "threads": 1}, "decision": ALWAYS_A_HORNET}
    config.write_text(yaml.safe_dump(sections))
    monkeypatch.setattr(ClipCamera, "frames", interrupt)
    options = ["--config", str(config), "--out", str(tmp_path / "out"), "--report", str(tmp_path / "report")]
    assert main(["replay", *options, str(picture), str(clip)]) == 130
    assert "The replay was ended early." in capsys.readouterr().out
    page = (tmp_path / "report" / "index.html").read_text()
    assert "The replay was ended early." in page
    assert "1.png: hornet" in page
