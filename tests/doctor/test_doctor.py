"""The doctor: its findings and advice, and that one broken check does not stop the others."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.brokers import Broker, free_port
from support.daemons import SMALL_SIMULATOR, Daemon
from support.disks import NOBODY
from support.fakes import make_frame, make_pixels

from hivewatch.camera.devices import holders
from hivewatch.cli.main import main
from hivewatch.config.sections import ClockConfig, Config, StoreConfig
from hivewatch.doctor import Finding, Verdict, document, examine, exit_code, host, permissions
from hivewatch.doctor import camera as camera_module
from hivewatch.doctor.camera import check_camera
from hivewatch.doctor.permissions import User, service_user
from hivewatch.domain.frames import Frame
from hivewatch.system.sensors import Throttling

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
CHECKS = [
    *("config", "daemon", "permissions", "disk", "wear", "clock", "temperature", "power"),
    *("model", "camera", "light", "sharpness", "broker"),
]
ROOT = os.geteuid() == 0


@pytest.fixture
def hive(tmp_path: Path, tiny_model_path: Path, broker: Broker) -> Path:
    """A configuration that passes all checks, except that the camera is simulated."""
    return write(
        tmp_path / "hive.yaml",
        camera=SMALL_SIMULATOR | {"rate_hz": 5.0},
        classifier={"model": str(tiny_model_path), "threads": 1},
        store={"directory": str(tmp_path / "store"), "least_free_mb": 1.0},
        mqtt={"host": "127.0.0.1", "port": broker.port},
        clock={"wait_s": 1.0},
    )


def write(path: Path, **sections: Any) -> Path:
    path.write_text(yaml.safe_dump(sections))
    return path


def changed(path: Path, **sections: Any) -> Path:
    return write(path, **(yaml.safe_load(path.read_text()) | sections))


def config(**sections: Any) -> Config:
    return Config.model_validate_json(json.dumps(sections))


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@pytest.mark.slow
def test_all_checks_run_and_a_healthy_hive_has_no_failure(hive: Path) -> None:
    findings = list(examine(hive))
    assert [finding.check for finding in findings] == CHECKS
    assert exit_code(findings) == 0, "\n".join(map(str, findings))
    assert by_check(findings)["broker"].verdict is OK
    assert by_check(findings)["camera"].verdict is WARN, "a simulated hive is not watched"


@pytest.mark.slow
def test_the_picture_named_by_the_camera_check_is_the_camera_s(hive: Path) -> None:
    found = by_check(list(examine(hive)))["camera"].found
    path = Path(found.split("picture: ")[1].split(";")[0])
    assert cv2.imread(str(path)).shape == (240, 320, 3)
    path.unlink()


@pytest.mark.slow
def test_failures_are_counted_in_the_exit_code_and_come_with_advice(
    hive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = {"kind": "video", "video": {"source": "missing.mp4"}}
    changed(hive, camera=camera, mqtt={"host": "127.0.0.1", "port": free_port()})
    assert main(["doctor", "--config", str(hive)]) == 102
    output = capsys.readouterr().out
    assert f"fail camera       {hive.parent}/missing.mp4" in output
    assert "fail broker       127.0.0.1" in output
    assert "-> start the broker" in output


def test_with_an_invalid_configuration_the_machine_is_still_checked(tmp_path: Path) -> None:
    findings = list(examine(write(tmp_path / "hive.yaml", mqtt={"prot": 1})))
    assert "did you mean port?" in findings[0].found
    assert [finding.check for finding in findings] == ["config", "clock", "temperature", "power"]
    assert exit_code(findings) == 101


def test_polygons_that_leave_nothing_to_watch_are_a_failure(tmp_path: Path) -> None:
    whole = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    findings = list(examine(write(tmp_path / "hive.yaml", gate={"ignore": [whole]})))
    assert (findings[0].check, findings[0].verdict) == ("config", FAIL)
    assert "gate.ignore: watch and ignore leave nothing of the picture" in findings[0].found


@pytest.mark.slow
def test_json_contains_the_same_findings(hive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--config", str(hive)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["failures"]) == ("hivewatch.doctor", 0)
    assert [finding["check"] for finding in report["findings"]] == CHECKS
    assert {finding["verdict"] for finding in report["findings"]} <= {"ok", "warn", "fail"}


def test_the_exit_code_differs_from_those_of_other_commands() -> None:
    failure = Finding("disk", FAIL, "")
    assert [exit_code([failure] * count) for count in (0, 1, len(CHECKS))] == [0, 101, 113]
    assert document([failure])["failures"] == 1


@pytest.mark.slow
def test_a_check_that_raises_is_a_failure_and_the_others_still_run(
    hive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_config: StoreConfig) -> Finding:
        raise ZeroDivisionError("odd machine")

    monkeypatch.setattr(host, "check_disk", broken)
    findings = list(examine(hive))
    assert [finding.check for finding in findings] == CHECKS
    assert by_check(findings)["disk"].verdict is FAIL
    assert "odd machine" in by_check(findings)["disk"].found


@pytest.mark.slow
def test_beside_a_running_daemon_all_checks_run_and_the_daemon_is_not_disturbed(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        daemon.wait_for_log("start, best score")
        findings = by_check(list(examine(daemon.config_path)))
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
    assert findings["daemon"].found.startswith("running, store:")
    assert "while hivewatch is running" in findings["model"].found
    assert by_check(list(examine(daemon.config_path)))["daemon"].found.startswith("not running, store:")


class Still:
    """A live camera that delivers the given frames."""

    name = "/dev/video7"
    is_live = True

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames

    def frames(self, _stop: object) -> Generator[Frame]:
        yield from self._frames


def seen(monkeypatch: pytest.MonkeyPatch, frames: list[Frame]) -> dict[str, Finding]:
    """Return the findings for a USB camera that delivers ``frames``."""
    monkeypatch.setattr(camera_module, "open_camera", lambda _config: Still(frames))
    settings = config(camera={"kind": "video", "video": {"source": "/dev/video7"}})
    return by_check(list(check_camera(settings, daemon_runs=False)))


def frames_of(pixels: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> list[Frame]:
    return [make_frame(p, n * 0.2, n, "/dev/video7") for n, p in enumerate(pixels)]


def grain(level: float, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(seed).normal(level, 4, (96, 128, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def test_a_dark_and_an_overexposed_picture_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dark" in seen(monkeypatch, frames_of([grain(8, n) for n in range(4)]))["light"].found
    assert "overexposed" in seen(monkeypatch, frames_of([grain(245, n) for n in range(4)]))["light"].found
    assert seen(monkeypatch, frames_of([grain(120, n) for n in range(4)]))["light"].verdict is OK


def test_a_blurred_picture_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = [cv2.GaussianBlur(make_pixels(640, 360, n), (0, 0), 9).astype(np.uint8) for n in range(3)]
    finding = seen(monkeypatch, frames_of(soft))["sharpness"]
    assert finding.verdict is WARN
    assert "hivewatch preview" in finding.advice


def test_a_camera_that_repeats_one_picture_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, frames_of([grain(120, 1)] * 4))["camera"].verdict is FAIL
    assert seen(monkeypatch, frames_of([grain(120, n) for n in range(4)]))["camera"].verdict is OK


def test_a_camera_without_a_frame_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no frame from /dev/video7" in seen(monkeypatch, [])["camera"].found


def test_a_missing_device_fails_soon() -> None:
    start_s = time.monotonic()
    settings = config(camera={"kind": "video", "timeout_s": 0.5, "video": {"source": "/dev/video99"}})
    (finding,) = check_camera(settings, daemon_runs=False)
    assert finding.verdict is FAIL
    assert "/dev/video99" in finding.found
    assert time.monotonic() - start_s < 30, "the daemon would try for 600 s"


def test_a_camera_in_use_is_a_warning_that_names_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    device = Path(os.ttyname(theirs))
    assert f"{Path('/proc/self/comm').read_text().strip()} ({os.getpid()})" in holders([device])
    monkeypatch.setattr(camera_module, "camera_devices", lambda _config: [device])
    (finding,) = check_camera(config(camera={"kind": "video"}), daemon_runs=False)
    assert finding.verdict is WARN
    assert str(os.getpid()) in finding.found
    os.close(ours)
    os.close(theirs)
    monkeypatch.setattr(camera_module, "camera_devices", lambda _config: [Path("/dev/video99")])
    (finding,) = check_camera(config(camera={"kind": "video"}), daemon_runs=True)
    assert finding.verdict is WARN
    assert "in use by the running hivewatch" in finding.found


def free_mb(directory: Path) -> float:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize / 1e6


def test_free_space_is_compared_with_what_the_store_needs(tmp_path: Path) -> None:
    free = free_mb(tmp_path)
    for least_free_mb, verdict in ((free / 100, OK), (free * 2, WARN), (free * 10, FAIL)):
        store = StoreConfig(directory=tmp_path / "to" / "come", least_free_mb=least_free_mb)
        assert host.check_disk(store).verdict is verdict


def make_disk(sysfs: Path, directory: Path, **files: str) -> None:
    """Make the sysfs entries of the disk that holds ``directory``: a partition of mmcblk0."""
    number = directory.stat().st_dev
    partition = sysfs / "devices" / "mmcblk0" / "mmcblk0p2"
    (partition.parent / "device").mkdir(parents=True)
    partition.mkdir()
    (partition / "partition").write_text("2\n")
    for name, content in files.items():
        (partition.parent / "device" / name).write_text(f"{content}\n")
    (sysfs / "dev" / "block").mkdir(parents=True)
    (sysfs / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").symlink_to(partition)


@pytest.mark.parametrize(
    ("files", "verdict", "words"),
    [
        ({"life_time": "0x01 0x02", "pre_eol_info": "0x01"}, OK, "mmcblk0: about 20 % of its life is used"),
        ({"life_time": "0x09 0x02", "pre_eol_info": "0x01"}, WARN, "about 90 %"),
        ({"life_time": "0x02 0x02", "pre_eol_info": "0x02"}, WARN, "80 % of its spare blocks"),
        ({"life_time": "0x0b 0x01", "pre_eol_info": "0x03"}, FAIL, "its estimated life is exceeded"),
        ({"type": "SD"}, OK, "unknown: mmcblk0 (SD) does not report"),
        ({"life_time": "0x00 0x00", "type": "MMC"}, OK, "unknown: mmcblk0 (MMC)"),
    ],
)
def test_wear_is_reported_if_the_card_reports_it(
    tmp_path: Path, files: dict[str, str], verdict: Verdict, words: str
) -> None:
    make_disk(tmp_path / "sys", tmp_path, **files)
    finding = host.check_wear(tmp_path, tmp_path / "sys")
    assert finding.verdict is verdict
    assert words in finding.found


def test_the_wear_of_a_directory_on_no_disk_is_unknown(tmp_path: Path) -> None:
    assert host.check_wear(tmp_path, tmp_path / "sys").found.startswith("unknown")


def test_a_clock_in_1970_fails_and_an_unsynchronised_one_is_a_warning() -> None:
    early, now = datetime(1970, 1, 1, tzinfo=UTC), datetime(2027, 5, 1, tzinfo=UTC)
    assert host.check_clock(ClockConfig(), early, synchronised=True).verdict is FAIL
    assert host.check_clock(ClockConfig(), now, synchronised=False).verdict is WARN
    assert host.check_clock(ClockConfig(), now, synchronised=True).verdict is OK


def test_heat_and_low_voltage_are_reported() -> None:
    assert [host.check_temperature(c).verdict for c in (None, 50.0, 78.0, 86.0)] == [OK, OK, WARN, FAIL]
    assert host.check_power(None).verdict is OK
    assert host.check_power(Throttling((), ())).verdict is OK
    assert host.check_power(Throttling((), ("under-voltage",))).verdict is WARN
    assert host.check_power(Throttling(("throttled",), ("throttled",))).verdict is WARN
    assert host.check_power(Throttling(("under-voltage",), ("under-voltage",))).verdict is FAIL


needs_root = pytest.mark.skipif(not ROOT, reason="only root can check another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user may read; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
def test_root_checks_the_owner_of_the_store(open_folder: Path) -> None:
    store = open_folder / "store"
    store.mkdir()
    os.chown(store, NOBODY, NOBODY)
    settings = config(store={"directory": str(store)})
    assert service_user(settings).uid == NOBODY
    secret = open_folder / "hive.yaml"
    secret.write_text("{}")
    secret.chmod(0o600)
    findings = list(permissions.check_permissions(secret, settings, service_user(settings)))
    assert [finding.verdict for finding in findings] == [OK, FAIL]
    assert "may not read" in findings[1].found


@needs_root
def test_a_store_that_belongs_to_another_user_fails(tmp_path: Path) -> None:
    nobody = User("nobody", NOBODY, NOBODY)
    file = tmp_path / "hive.yaml"
    file.write_text("{}")
    settings = config(store={"directory": str(tmp_path / "store")})
    findings = list(permissions.check_permissions(file, settings, nobody))
    assert [os.geteuid(), os.getegid()] == [0, 0], "root again"
    assert findings[0].verdict is FAIL
    assert "chown" in findings[0].advice


def test_a_password_that_every_user_may_read_is_a_warning(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o644)
    settings = config(
        store={"directory": str(tmp_path)}, mqtt={"username": "hive", "password_file": str(password)}
    )
    (_, finding) = permissions.check_permissions(password, settings, service_user(settings))
    assert finding.verdict is WARN
    assert "every user may read the password" in finding.found
