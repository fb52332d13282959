"""The preview: access control, what it reports of a frame, and that it works only while a page is open."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from support.brokers import wait_until
from support.fakes import make_frame, make_pixels
from support.trust_trials import slow_clients

from hivewatch.cli.main import main
from hivewatch.config.sections import Config
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus
from hivewatch.errors import CameraError, ConfigError
from hivewatch.preview import app as preview
from hivewatch.preview import server as server_module
from hivewatch.preview import waiting
from hivewatch.preview.latest import LatestFrames, PreviewFrame
from hivewatch.preview.previewer import Previewer
from hivewatch.preview.server import serve
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import load_classifier

LOCAL = ("127.0.0.1", 0)


class Answer(NamedTuple):
    """The server's answer."""

    status: int
    content: bytes
    headers: dict[str, str]


def ask(url: str, path: str, host: str | None = None) -> Answer:
    """Request ``path`` from the server at ``url``, with ``host`` as the Host header."""
    address = url.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return Answer(answer.status, answer.read(), dict(answer.getheaders()))


@pytest.fixture
def latest() -> LatestFrames:
    """One frame."""
    latest = LatestFrames()
    latest.add(PreviewFrame(0, b"jpeg 0", {"number": 0}))
    return latest


@pytest.fixture
def url(latest: LatestFrames) -> Iterator[str]:
    """A server on loopback without a token."""
    with serve(latest, LOCAL, None) as url:
        yield url


def test_the_page_its_state_and_its_picture_are_served(url: str) -> None:
    page = ask(url, "/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>hivewatch preview</title>" in page.content
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    state = json.loads(ask(url, "/state?after=-1").content)
    assert state == {"camera": {"state": "offline", "reasons": []}, "frame": {"number": 0}}
    assert ask(url, "/picture?number=0").content == b"jpeg 0"


@pytest.mark.parametrize(
    "path", ["/nothing", "/picture", "/picture?number=7", "/picture?number=x", "/../etc/passwd"]
)
def test_unknown_paths_and_pictures_are_not_found(url: str, path: str) -> None:
    assert ask(url, path).status == 404


def test_without_the_right_token_everything_is_forbidden(latest: LatestFrames) -> None:
    with serve(latest, LOCAL, "right-token") as url:
        assert url.endswith("/?token=right-token")
        for path in ("/", "/state", "/picture?number=0"):
            assert ask(url, path).status == 403
            assert ask(url, f"{path}{'&' if '?' in path else '?'}token=wrong-token").status == 403
        assert ask(url, "/?token=right-token").status == 200
        assert ask(url, "/picture?number=0&token=right-token").content == b"jpeg 0"


def test_beyond_loopback_a_token_is_generated_if_none_is_given(latest: LatestFrames) -> None:
    with serve(latest, ("0.0.0.0", 0), None) as url:  # noqa: S104  this is what is tested
        local = f"http://127.0.0.1:{url.split(':')[2].partition('/')[0]}/"
        assert ask(local, "/").status == 403
        token = url.partition("?")[2]
        assert len(token) > len("token=") + 12
        assert ask(local, f"/?{token}").status == 200
    with serve(latest, LOCAL, None) as url:
        assert "token" not in url


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("192.168.1.20:8080", 200),
        (f"{socket.gethostname()}.local:8080", 200),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("[broken", 403),
        ("", 403),
    ],
)
def test_a_foreign_host_name_is_refused(url: str, host: str, status: int) -> None:
    assert ask(url, "/", host).status == status


def test_too_many_simultaneous_requests_are_rejected(
    latest: LatestFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for a frame that does not come, and a further one is not served until one of them ends."""
    monkeypatch.setattr(server_module, "_MAX_REQUESTS", 2)
    monkeypatch.setattr(server_module, "_STATE_TIMEOUT_S", 30.0)
    with serve(latest, LOCAL, None) as url:
        for _ in range(2):
            threading.Thread(target=ask, args=(url, "/state?after=7"), daemon=True).start()
        wait_until(lambda: ask(url, "/").status == 503, "both slots are taken")
        latest.add(PreviewFrame(8, b"jpeg 8", {"number": 8}))
        wait_until(lambda: ask(url, "/").status == 200, "the slots are free again")


def half_a_request(url: str, address: str = "127.0.0.1") -> socket.socket:
    """Connect from ``address`` and send the beginning of a request."""
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    connection = socket.create_connection((host, int(port)), source_address=(address, 0))
    connection.sendall(b"GET / HT")
    return connection


def is_open(connection: socket.socket) -> bool:
    """Return whether the server has neither answered nor closed the connection."""
    return not select.select([connection], [], [], 0)[0]


def test_clients_that_never_finish_their_request_keep_nobody_out(latest: LatestFrames) -> None:
    with serve(latest, LOCAL, "right-token") as url:
        slow = [half_a_request(url) for _ in range(50)]
        for _ in range(20):
            assert ask(url, "/?token=right-token").status == 200
        wait_until(lambda: sum(map(is_open, slow)) <= waiting._MOST, "the oldest are closed")
        assert not is_open(slow[0])
        assert is_open(slow[-1]), "nobody is closed without need"
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_the_owner_is_served_while_others_send_byte_by_byte() -> None:
    outcome = slow_clients(requests=20)
    assert outcome.survived, outcome


def test_a_client_with_many_connections_displaces_its_own(latest: LatestFrames) -> None:
    with serve(latest, LOCAL, "right-token") as url:
        owner = half_a_request(url, "127.0.0.2")
        others = [half_a_request(url, "127.0.0.3") for _ in range(50)]
        wait_until(lambda: sum(map(is_open, others)) < waiting._MOST, "some of them are closed")
        owner.sendall(b"TP/1.0\r\nHost: localhost\r\n\r\n")
        assert owner.recv(100).startswith(b"HTTP/1.0 403")
        for connection in (owner, *others):
            connection.close()


def test_a_request_that_is_allowed_is_not_displaced(
    latest: LatestFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_STATE_TIMEOUT_S", 30.0)
    answers: list[int] = []
    with serve(latest, LOCAL, "right-token") as url:
        request = "/state?after=7&token=right-token"
        owner = threading.Thread(target=lambda: answers.append(ask(url, request).status), daemon=True)
        owner.start()
        wait_until(latest.has_viewers, "the request is being answered")
        slow = [half_a_request(url) for _ in range(50)]
        wait_until(lambda: sum(map(is_open, slow)) <= waiting._MOST, "the oldest are closed")
        latest.add(PreviewFrame(8, b"jpeg 8", {"number": 8}))
        owner.join(20)
        assert answers == [200]
        for connection in slow:
            connection.close()


def test_a_request_for_no_address_at_all_is_answered(url: str) -> None:
    assert ask(url, "ftp://[").status == 400


def test_an_address_in_use_is_reported_in_a_sentence(latest: LatestFrames) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with pytest.raises(ConfigError, match=f"cannot serve on 127.0.0.1 port {address[1]}"):
            serve(latest, address, None).__enter__()


def test_the_state_waits_for_a_newer_frame_until_its_timeout(latest: LatestFrames) -> None:
    threading.Timer(0.2, latest.add, [PreviewFrame(1, b"jpeg 1", {"number": 1})]).start()
    assert latest.state(0, 20.0)["frame"] == {"number": 1}
    assert latest.state(1, 0.01)["frame"] is None


def test_the_camera_status_is_reported_without_a_frame() -> None:
    latest = LatestFrames()
    latest.set_camera_status(CameraStatus("cam", CameraState.OFFLINE, (CameraFault.NO_FRAMES,)))
    assert latest.state(-1, 0.01) == {"camera": {"state": "offline", "reasons": ["no_frames"]}, "frame": None}


def test_only_the_latest_pictures_are_kept(latest: LatestFrames) -> None:
    for number in range(1, 10):
        latest.add(PreviewFrame(number, b"jpeg", {}))
    assert [latest.jpeg(number) is not None for number in range(10)] == [False] * 7 + [True] * 3


def test_there_is_no_viewer_until_a_page_requests_the_state(latest: LatestFrames) -> None:
    assert not latest.has_viewers()
    latest.state(-1, 0.0)
    assert latest.has_viewers()


def make_previewer(model: Path, **sections: Any) -> Previewer:
    config = Config.model_validate_json(json.dumps(sections))
    stopwatch = Stopwatch()
    return Previewer(config, load_classifier(model, 1, stopwatch), stopwatch)


def test_a_preview_frame_contains_all_that_the_page_shows_as_plain_json(tiny_model_path: Path) -> None:
    watch = [[[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]]
    previewer = make_previewer(tiny_model_path, gate={"watch": watch})
    frame = previewer.inspect(make_frame(make_pixels(2560, 1440)), 7)
    state = json.loads(json.dumps(frame.state))
    assert (frame.number, state["number"], state["width_px"]) == (7, 7, 2560)
    assert state["region"]["watch"] == watch
    long_side_px = load_classifier(tiny_model_path, 1).model.input_long_side_px
    assert state["region"]["scale"] == pytest.approx(min(1, long_side_px / 1280))
    assert 0 <= state["hornet"]["score"] <= 1
    assert {len(row) for row in state["hornet"]["heat"]} == {len(state["hornet"]["heat"][0])}
    assert set("".join(state["hornet"]["heat"])) <= set("0123456789")
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (720, 1280, 3), "no larger than a phone shows"


def test_without_motion_no_frame_is_classified_as_in_the_daemon(tiny_model_path: Path) -> None:
    previewer = make_previewer(tiny_model_path, gate={"motion": {"hold_s": 0.0}})
    frames = [previewer.inspect(make_frame(at_s=float(n)), n) for n in range(2)]
    assert frames[0].state["hornet"] is not None, "the first is always classified"
    assert frames[1].state["hornet"] is None
    assert frames[1].state["motion"] == {"enabled": True, "share": 0.0, "threshold": 0.0005, "window": None}


def test_a_camera_used_by_the_daemon_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "camera_devices", lambda _config: [Path("/dev/video0")])
    monkeypatch.setattr(preview, "is_locked", lambda _directory: True)
    file = tmp_path / "hive.yaml"
    file.write_text("camera: {kind: video}")
    with pytest.raises(CameraError, match="systemctl stop hivewatch"):
        preview.run(file, threading.Event(), LOCAL, None, lambda _url: None)


@pytest.mark.parametrize(
    "arguments",
    [["--address", "8080"], ["--address", "host:99999"], ["--token", "short"], ["--token", "with spaces"]],
)
def test_an_invalid_address_or_token_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["preview", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
