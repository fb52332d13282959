"""The service as a beekeeper runs it: Debian 12 and 13 with systemd as PID 1, install.sh, a real broker.

In each Debian the tests run in order: an earlier version is installed, upgraded, put under faults, backed up
and removed. Each test starts and ends with a working service.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.booted import BootedDebian
from support.brokers import wait_until
from support.installed import WAIT_S, Hive, copy_of_checkout, debian, earlier_version, exposure
from support.paths import SUPPORT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    """Return a booted Debian with a broker and without hivewatch."""
    sources = tmp_path_factory.mktemp("sources")
    earlier_version(sources / "earlier")
    copy_of_checkout(sources / "this")
    with BootedDebian(debian(request.param), {sources: "/sources"}) as booted:
        yield Hive(booted, sources)


@dataclass
class Installed:
    """An earlier version, as installed by install.sh."""

    hive: Hive
    files_before: set[str]
    output: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def installed(bare: Hive) -> Installed:
    """Return the hive after its first installation, with a configuration file that existed before."""
    before = files_of(bare)
    bare.configure()
    output = bare.install("earlier")
    assert output.returncode == 0, output.stderr
    return Installed(bare, before, output)


@dataclass
class Upgraded:
    """The hive after an upgrade, and the sightings that waited for the broker during it."""

    hive: Hive
    release_before: str
    waiting: list[str]
    output: subprocess.CompletedProcess[str]
    delivered: list[str]


@pytest.fixture(scope="module")
def upgraded(installed: Installed) -> Upgraded:
    """Return the hive after an upgrade to this checkout, made while the broker was down and alerts waited."""
    hive = installed.hive
    hive.stop_broker()
    wait_until(lambda: len(hive.query("SELECT id FROM outbox")) >= 6, "alerts wait", WAIT_S)
    release = hive.release()
    waiting = waiting_sightings(hive)
    output = hive.install("this")
    assert output.returncode == 0, output.stderr
    hive.start_broker()
    with hive.subscriber() as subscriber:
        wait_until(lambda: set(waiting) <= set(sightings(subscriber.on("event"))), "all arrive", WAIT_S)
        delivered = sightings(subscriber.on("event"))
    return Upgraded(hive, release, waiting, output, delivered)


@pytest.fixture
def hive(upgraded: Upgraded) -> Iterator[Hive]:
    """Return the hive with a working service, and restore it afterwards."""
    upgraded.hive.wait_until_it_works()
    yield upgraded.hive
    upgraded.hive.restore()


def files_of(hive: Hive) -> set[str]:
    """Return all files and directories except volatile ones and those of apt."""
    excluded = (
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "sources",
        "root",
        "var/log",
        "var/cache",
        "var/tmp",
        "usr",
    )
    pruned = " -o ".join(
        f"-path /{name}" for name in (*excluded, "var/lib/dpkg", "var/lib/apt", "var/lib/systemd")
    )
    listed = hive.debian.tell("sh", "-c", rf"find / \( {pruned} \) -prune -o -print; find /usr/local")
    return set(listed.splitlines())


def sightings(events: list[bytes]) -> list[str]:
    """Return the ids of the sightings in the order of their events."""
    return [str(json.loads(event)["sighting_id"]) for event in events]


def waiting_sightings(hive: Hive) -> list[str]:
    """Return the ids of the sightings with events in the outbox, in order."""
    return hive.query("SELECT DISTINCT sighting_id FROM outbox WHERE payload IS NOT NULL ORDER BY id")


def test_the_service_is_enabled_and_runs_and_the_doctor_checked_it(installed: Installed) -> None:
    assert "Checking the installation" in installed.output.stderr
    assert installed.hive.debian.tell("systemctl", "is-enabled", "hivewatch") == "enabled"
    assert installed.hive.property("ActiveState") == "active"


def test_the_installer_first_says_what_it_downloads_and_how_much_room_it_needs(installed: Installed) -> None:
    assert "This downloads up to" in installed.output.stderr
    assert installed.output.stderr.index("MB are free") < installed.output.stderr.index("Installing into")


def test_numpy_has_the_major_version_of_the_system_s(installed: Installed) -> None:
    """Otherwise picamera2 from apt could not be imported."""
    ask = ["-c", "import numpy; print(numpy.__version__.split('.')[0])"]
    system = installed.hive.debian.tell("/usr/bin/python3", *ask)
    assert installed.hive.debian.tell("/opt/hivewatch/current/bin/python", *ask) == system


def test_an_upgrade_with_a_full_outbox_loses_nothing(upgraded: Upgraded) -> None:
    """Events from before the upgrade arrive after it, in order."""
    assert upgraded.waiting
    first = [id_ for n, id_ in enumerate(upgraded.delivered) if id_ not in upgraded.delivered[:n]]
    assert [id_ for id_ in first if id_ in upgraded.waiting] == upgraded.waiting


def test_an_upgrade_leaves_only_the_new_release(upgraded: Upgraded) -> None:
    hive = upgraded.hive
    assert hive.release() != upgraded.release_before
    assert hive.debian.tell("ls", "/opt/hivewatch/releases") == Path(hive.release()).name


def test_an_upgrade_leaves_the_configuration_alone(upgraded: Upgraded) -> None:
    assert "cool_down_s: 1.0" in upgraded.hive.debian.tell("cat", "/etc/hivewatch/hivewatch.yaml")


def test_installing_the_same_version_again_changes_nothing(hive: Hive) -> None:
    """The process keeps running."""
    before = hive.release(), hive.property("MainPID")
    output = hive.install("this")
    assert output.returncode == 0, output.stderr
    assert "already installed" in output.stderr
    assert (hive.release(), hive.property("MainPID")) == before


def test_a_hornet_reaches_the_broker_and_its_picture_the_disk(hive: Hive) -> None:
    """From end to end: camera, network, store, publisher, mosquitto."""
    with hive.subscriber() as subscriber:
        wait_until(lambda: bool(subscriber.on("event")), "an event comes", WAIT_S)
        event = json.loads(subscriber.on("event")[-1])
        wait_until(
            lambda: any(
                digest(picture) == event["snapshot"]["sha256"] for picture in subscriber.on("snapshot")
            ),
            "its picture comes",
            WAIT_S,
        )
    on_disk = hive.debian.tell("sh", "-c", "sha256sum /var/lib/hivewatch/snapshots/*/*.jpg | cut -d' ' -f1")
    assert event["snapshot"]["sha256"] in on_disk.split()


def test_systemd_shows_a_status_and_the_journal_has_fields(hive: Hive) -> None:
    status = re.compile(r"watching, [0-9.]+ fps, last hornet \d\d:\d\d, outbox \d+")
    wait_until(lambda: bool(status.fullmatch(hive.property("StatusText"))), "the status is set", WAIT_S)
    listed = ("journalctl", "--unit=hivewatch", "CODE=sighting_start", "--output=json", "--lines=1")
    wait_until(lambda: bool(hive.debian.tell(*listed)), "the journal lists a visit", WAIT_S)
    entry = json.loads(hive.debian.tell(*listed))
    assert entry["CAMERA"] == "simulator"
    assert entry["SIGHTING"] in entry["MESSAGE"]
    assert entry["PRIORITY"] == "6"


def digest(data: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(data).hexdigest()


def test_the_sandbox_is_tight(hive: Hive) -> None:
    """As systemd rates the loaded unit."""
    rating = hive.debian.tell("systemd-analyze", "security", "--no-pager", "hivewatch.service")
    assert exposure(rating) <= 2.0


def test_systemd_finds_no_fault_in_the_unit(hive: Hive) -> None:
    done = hive.debian.run("systemd-analyze", "verify", "/etc/systemd/system/hivewatch.service")
    assert "hivewatch" not in done.stdout + done.stderr


def test_after_a_kill_it_restarts_in_time_and_loses_nothing(hive: Hive) -> None:
    """Alerts are waiting, because the broker is down when it is killed."""
    hive.stop_broker()
    wait_until(lambda: bool(waiting_sightings(hive)), "an alert waits", WAIT_S)
    killed, restarts = hive.property("MainPID"), int(hive.property("NRestarts"))
    waiting = waiting_sightings(hive)
    hive.debian.tell("kill", "-9", killed)
    hive.wait_until_it_works(other_than=killed)
    assert int(hive.property("NRestarts")) == restarts + 1
    assert hive.property("RestartUSec") == "5s"
    hive.start_broker()
    with hive.subscriber() as subscriber:
        wait_until(lambda: set(waiting) <= set(sightings(subscriber.on("event"))), "all arrive", WAIT_S)


def test_the_watchdog_restarts_a_daemon_that_is_stuck(hive: Hive) -> None:
    """SIGSTOP: the process exists and does nothing."""
    hive.override(WatchdogSec="10")
    hive.restart()
    stopped = hive.property("MainPID")
    hive.debian.tell("kill", "-STOP", stopped)
    hive.wait_until_it_works(other_than=stopped)
    assert "Watchdog timeout" in hive.journal()
    assert "Fatal Python error: Aborted" in hive.journal(), "the log shows where it stood"


def test_a_reload_applies_a_good_file(hive: Hive) -> None:
    """The process stays the same."""
    process = hive.property("MainPID")
    hive.configure(decision={"threshold": 0.91})
    hive.debian.tell("systemctl", "reload", "hivewatch")
    wait_until(lambda: "changed: decision" in hive.journal(), "the change is applied", WAIT_S)
    wait_until(lambda: hive.property("ActiveState") == "active", "the reload ends")
    assert hive.property("MainPID") == process


def test_a_bad_file_makes_the_reload_fail_and_the_daemon_continues(hive: Hive) -> None:
    """The journal names the mistake."""
    process = hive.property("MainPID")
    hive.configure(decision={"treshold": 0.91})
    assert hive.debian.run("systemctl", "reload", "hivewatch").returncode != 0
    assert "decision.treshold" in hive.journal()
    beat = hive.property("WatchdogTimestampMonotonic")
    wait_until(lambda: hive.property("WatchdogTimestampMonotonic") != beat, "it continues", WAIT_S)
    assert (hive.property("ActiveState"), hive.property("MainPID")) == ("active", process)


def test_systemd_is_notified_of_a_reload_by_signal(hive: Hive) -> None:
    """SIGHUP with a bad file: reloading, then ready again, on systemd with and without notify-reload."""
    process = hive.property("MainPID")
    hive.configure(decision={"threshold": 7})
    hive.debian.tell("kill", "-HUP", process)
    wait_until(lambda: "the old configuration stays in force" in hive.journal(), "it is refused", WAIT_S)
    wait_until(lambda: hive.property("ActiveState") == "active", "it is ready again")
    assert hive.property("MainPID") == process


def test_an_upgrade_that_does_not_come_up_is_undone(hive: Hive) -> None:
    """The new version starts and ends with an error: the previous version runs again."""
    broken = copy_of_checkout(hive.sources / "broken")
    with (broken / "hivewatch" / "daemon" / "app.py").open("a") as file:
        file.write(
            "\nfrom hivewatch.errors import ConfigError\n"
            "def run(*_: object) -> None:\n    raise ConfigError(['it is broken'])\n"
        )
    before = hive.release(), hive.debian.tell("ls", "/opt/hivewatch/releases")
    unit = hive.debian.tell("cat", "/etc/systemd/system/hivewatch.service")
    output = hive.install("broken")
    assert output.returncode == 1
    assert "it is broken" in output.stderr
    assert "the previous version is running again" in output.stderr
    assert (hive.release(), hive.debian.tell("ls", "/opt/hivewatch/releases")) == before
    assert hive.debian.tell("cat", "/etc/systemd/system/hivewatch.service") == unit
    hive.wait_until_it_works()


def test_a_version_that_rejects_the_configuration_is_refused_before_anything_stops(hive: Hive) -> None:
    """The installer shows new options, and options in use that the new version lacks."""
    unfit = copy_of_checkout(hive.sources / "unfit")
    for file in (unfit / "hivewatch" / "config").glob("*.py"):
        file.write_text(file.read_text().replace("cool_down_s", "calm_down_s"))
    with (unfit / "config" / "hivewatch.yaml").open("a") as manual:
        manual.write("\n# A section of tomorrow.\n")
    before = hive.release(), hive.property("MainPID")
    output = hive.install("unfit")
    assert output.returncode == 1
    assert "+# A section of tomorrow." in output.stderr
    assert "decision.cool_down_s" in output.stderr
    assert (hive.release(), hive.property("MainPID")) == before


@pytest.mark.parametrize(
    ("enter", "sentence"),
    [
        (("unshare", "--net"), "there is no network"),
        (("setarch", "linux32"), "PyTorch needs 64-bit"),
        (
            (
                "unshare",
                "--mount",
                "sh",
                "-c",
                'mount -t tmpfs -o size=10m tmpfs /opt/hivewatch; exec "$@"',
                "sh",
            ),
            "there is not enough disk space in /opt/hivewatch: 10 MB are free",
        ),
    ],
    ids=["no network", "32 bits", "no room"],
)
def test_an_installation_that_cannot_work_fails_early_and_says_why(
    hive: Hive, enter: tuple[str, ...], sentence: str
) -> None:
    """Before anything is downloaded or changed."""
    before = hive.release(), hive.property("MainPID")
    if not (hive.sources / "other").exists():
        other = copy_of_checkout(hive.sources / "other")
        (other / "hivewatch" / "__init__.py").open("a").write("\n")
    output = hive.install("other", enter=enter)
    assert output.returncode == 1
    assert sentence in output.stderr
    assert "Installing" not in output.stderr
    assert (hive.release(), hive.property("MainPID")) == before


@pytest.fixture
def probe(hive: Hive) -> Iterator[Hive]:
    """Return the hive with files for the probe; remove them afterwards."""
    hive.debian.write("/etc/hivewatch/credentials/password", "honey")
    hive.debian.write("/srv/probe.py", (SUPPORT / "sandbox_probe.py").read_text())
    hive.debian.tell("install", "-g", "video", "-m", "0660", "/dev/null", "/srv/of-video")
    hive.debian.tell("install", "-D", "-m", "0644", "/dev/null", "/home/keeper/secret")
    yield hive
    files = ("/etc/hivewatch/credentials/password", "/srv/probe.py", "/srv/of-video", "/home/keeper")
    hive.debian.tell("rm", "-r", *files)


def test_the_sandbox_allows_what_the_daemon_needs_and_no_more(probe: Hive) -> None:
    """A probe runs in place of the daemon."""
    unit = probe.debian.tell("cat", "/etc/systemd/system/hivewatch.service")
    lines = [
        line
        for line in unit.splitlines()
        if not line.startswith(("ExecStart=", "Type=", "Watchdog", "Restart"))
    ]
    lines.insert(lines.index("[Service]") + 1, "ExecStart=/usr/bin/python3 /srv/probe.py\nType=oneshot")
    probe.debian.write("/run/systemd/system/probe.service", "\n".join(lines))
    probe.debian.tell("systemctl", "daemon-reload")
    probe.debian.run("systemctl", "start", "probe")
    output = probe.debian.tell("journalctl", "--unit", "probe", "--output", "cat")
    found = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    assert found == {
        "asks the kernel about its clock": True,
        "sets the clock": False,
        "reads /proc/cpuinfo": True,
        "makes code at run time": True,
        "opens what belongs to the group video": True,
        "writes its state": True,
        "writes elsewhere": False,
        "writes its configuration": False,
        "sees homes": False,
        "reads the password's file": False,
        "gets the password as a credential": True,
        "opens a raw socket": False,
        "sees other processes": False,
    }


def test_a_second_camera_has_its_own_service(hive: Hive) -> None:
    """The template unit, with its own configuration file and store."""
    hive.configure(
        "/etc/hivewatch/left.yaml",
        hive={"id": "left"},
        store={"directory": "/var/lib/hivewatch/left"},
    )
    with hive.subscriber() as subscriber:
        hive.debian.tell("systemctl", "start", "hivewatch@left", timeout_s=200)
        wait_until(
            lambda: "hivewatch/left/availability" in {m.topic for m in subscriber.received}, "it is online"
        )
    owner = hive.debian.tell("stat", "--format", "%U %a", "/var/lib/hivewatch/left")
    assert owner == "hivewatch 750"
    assert hive.property("ActiveState") == "active", "the first service continues"
    hive.debian.tell("systemctl", "stop", "hivewatch@left")
    hive.debian.tell("rm", "-r", "/etc/hivewatch/left.yaml", "/var/lib/hivewatch/left")


def test_a_backup_restores_everything(hive: Hive) -> None:
    """As on a new card: configuration and data are missing, and are restored."""
    ended = "SELECT id FROM sightings WHERE ended_at IS NOT NULL"
    wait_until(lambda: bool(hive.query(ended)), "a visit", WAIT_S)
    known, pictures = hive.query(ended), pictures_of(hive)
    backup = "/sources/this/deploy/backup.sh"
    hive.debian.tell(backup, "/root/hive.tar", timeout_s=200)
    assert hive.property("ActiveState") == "active", "the backup does not stop the service"
    hive.debian.tell("systemctl", "stop", "hivewatch")
    config = hive.debian.tell("cat", "/etc/hivewatch/hivewatch.yaml")
    hive.debian.tell("sh", "-c", "rm -rf /etc/hivewatch/* /var/lib/hivewatch/*")
    hive.debian.tell(backup, "restore", "/root/hive.tar", timeout_s=300)
    hive.debian.tell("systemctl", "start", "hivewatch", timeout_s=200)
    hive.wait_until_it_works()
    assert hive.debian.tell("cat", "/etc/hivewatch/hivewatch.yaml") == config
    assert set(hive.query(ended)) >= set(known)
    assert pictures_of(hive) & pictures
    hive.debian.tell("sh", "-c", "rm -r /etc/hivewatch.before-* /var/lib/hivewatch.before-*")


def pictures_of(hive: Hive) -> set[str]:
    """Return the paths of the stored pictures."""
    return set(hive.debian.tell("find", "/var/lib/hivewatch/snapshots", "-name", "*.jpg").splitlines())


def test_a_file_that_is_not_a_backup_is_refused(hive: Hive) -> None:
    """The service is not stopped."""
    before = hive.property("MainPID")
    done = hive.debian.run("/sources/this/deploy/backup.sh", "restore", "/etc/hostname")
    assert done.returncode == 1
    assert "is not a backup of hivewatch" in done.stderr
    assert hive.property("MainPID") == before


def test_uninstall_leaves_configuration_and_data_and_purge_leaves_nothing(
    upgraded: Upgraded, installed: Installed
) -> None:
    hive = upgraded.hive
    output = hive.install("this", "uninstall")
    assert output.returncode == 0, output.stderr
    assert "Kept: /etc/hivewatch, /var/lib/hivewatch" in output.stderr
    left = left_behind(installed)
    assert left
    assert [path for path in left if not path.startswith(("/etc/hivewatch", "/var/lib/hivewatch"))] == []
    assert hive.debian.run("systemctl", "status", "hivewatch").returncode == 4, "systemd knows no such unit"
    assert hive.install("this", "uninstall", "--purge").returncode == 0
    assert left_behind(installed) == []
    assert hive.debian.run("getent", "passwd", "hivewatch").returncode != 0


def left_behind(installed: Installed) -> list[str]:
    """Return the files that did not exist before, without the backups that the account tools make."""
    left = files_of(installed.hive) - installed.files_before
    return sorted(path for path in left if not (path.startswith("/etc/") and path.endswith("-")))
