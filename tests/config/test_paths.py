"""A path starts where the manual says, and what is a path only by accident is refused, never created."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    file = folder / "hive.yaml"
    file.write_text(text)
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return caught.value.problems


@pytest.mark.parametrize(
    "value",
    ['""', '" "', '"\\t"', '"$HOME"', "$HOME/bees", "'${HOME}/bees'", "$(pwd)", '" data"', '"data "',
     '"a\\nb"', "file:///srv/bees", "rtsp://10.0.0.9/", "rtsp:/10.0.0.9", "keeper:word@10.0.0.9",
     "~nobody-here/x", "~"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["store: {directory: %s}", "camera: {kind: folder, folder: {path: %s}}"])
def test_what_is_no_folder_is_refused_and_not_created(
    option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = option % value if option.startswith("camera") else f"camera: {{kind: simulator}}\n{option % value}"
    (problem,) = problems(write(tmp_path, text))
    assert "store.directory: " in problem or "camera.folder.path: " in problem
    assert [path.name for path in tmp_path.iterdir()] == ["hive.yaml"]


@pytest.mark.parametrize("value", ['""', '" "', "$HOME/x", "rtsp://u:p@h/"])
@pytest.mark.parametrize(
    "option",
    [
        "classifier: {model: %s}",
        "mqtt: {username: u, password_file: %s}",
        "mqtt: {tls: {enabled: true, ca_file: %s}}",
    ],
)  # fmt: skip
def test_what_is_no_file_is_refused(option: str, value: str, tmp_path: Path) -> None:
    assert len(problems(write(tmp_path, f"camera: {{kind: simulator}}\n{option % value}\n"))) == 1


@pytest.mark.parametrize("value", ["~/12:00@home", "../12:00@home", "/srv/12:00@home"])
def test_what_begins_like_a_path_may_contain_a_time_and_an_at(value: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"camera: {{kind: simulator}}\nstore: {{directory: '{value}'}}\n")
    assert load(file).store.directory.name == "12:00@home"


def test_a_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/keeper")
    config = load(write(tmp_path, "camera: {kind: simulator}\nstore: {directory: ~/bees}\n"))
    assert config.store.directory == Path("/srv/keeper/bees")


def test_a_relative_video_starts_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "hives", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (folder / "clip.mp4").touch()
    config = load(write(folder, "camera: {kind: video, video: {source: clip.mp4}}\n"))
    assert config.camera.video.source == str(folder / "clip.mp4")


@pytest.mark.parametrize("source", ["/dev/video0", "3", "rtsp://10.0.0.9/s", "udp://@:1234"])
def test_a_device_and_an_address_are_no_paths(source: str, tmp_path: Path) -> None:
    config = load(write(tmp_path, f"camera: {{kind: video, video: {{source: '{source}'}}}}\n"))
    assert config.camera.video.source == source


@pytest.mark.parametrize("source", ["10.0.0.9/stream", "10.0.0.9/s?x=a.mp4", "rtsp//10.0.0.9", "video0", "/"])
def test_a_source_that_is_neither_device_nor_address_nor_file_is_refused(source: str, tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, f"camera: {{kind: video, video: {{source: '{source}'}}}}\n"))
    assert "camera.video.source: no such video file; a device is /dev/video0, an address begins" in problem


def test_a_video_file_may_appear_later(tmp_path: Path) -> None:
    config = load(write(tmp_path, "camera: {kind: video, video: {source: clip.mp4}}\n"))
    assert config.camera.video.source == str(tmp_path / "clip.mp4")


def test_the_source_of_another_kind_of_camera_need_not_exist(tmp_path: Path) -> None:
    load(write(tmp_path, "camera: {kind: simulator, video: {source: clip.mp4}}\n"))


def test_no_path_stays_relative(tmp_path: Path) -> None:
    for name in ("model.pt", "word", "ca.pem", "own.pem", "own.key", "clip.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "pictures").mkdir()
    text = """\
camera: {kind: video, video: {source: clip.mp4}, folder: {path: pictures}}
classifier: {model: model.pt}
store: {directory: data}
mqtt:
  username: bees
  password_file: word
  tls: {enabled: true, ca_file: ca.pem, certificate_file: own.pem, key_file: own.key}
"""
    config = load(write(tmp_path, text))
    tls, camera = config.mqtt.tls, config.camera
    paths = [
        tls.ca_file,
        tls.certificate_file,
        tls.key_file,
        config.mqtt.password_file,
        config.classifier.model,
    ]
    paths += [config.store.directory, camera.folder.path, Path(camera.video.source)]
    assert [path and path.parent for path in paths] == [tmp_path] * 8
    assert Config().store.directory.is_absolute()
