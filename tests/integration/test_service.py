"""The service as a beekeeper has it: Debian 12 and 13 with systemd as PID 1, install.sh, a real broker.

In each Debian the tests follow one story: an earlier version is installed, upgraded, tormented, backed up
and removed. Each begins and ends with a service that works.
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

HANGING_PICTURES = "/srv/pictures"


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    """Return a booted Debian with a broker, and without hivewatch."""
    sources = tmp_path_factory.mktemp("sources")
    earlier_version(sources / "earlier")
    copy_of_checkout(sources / "this")
    with BootedDebian(debian(request.param), {sources: "/sources"}) as booted:
        yield Hive(booted, sources)


@dataclass
class Begun:
    """An earlier version as install.sh left it."""

    hive: Hive
    files_before: set[str]
    told: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def begun(bare: Hive) -> Begun:
    """Return the hive after its first installation, with a configuration that was there before."""
    before = files_of(bare)
    bare.configure()
    told = bare.install("earlier")
    assert told.returncode == 0, told.stderr
    return Begun(bare, before, told)


@dataclass
class Upgraded:
    """What happened at the upgrade with a full outbox."""

    hive: Hive
    release_before: str
    waiting: list[str]
    told: subprocess.CompletedProcess[str]
    delivered: list[str]


@pytest.fixture(scope="module")
def upgraded(begun: Begun) -> Upgraded:
    """Return the hive after an upgrade to this checkout, done while the broker was away and alerts waited."""
    hive = begun.hive
    hive.stop_broker()
    wait_until(lambda: len(hive.query("SELECT id FROM outbox")) >= 6, "alerts wait", WAIT_S)
    release = hive.release()
    waiting = waiting_sightings(hive)
    told = hive.install("this")
    assert told.returncode == 0, told.stderr
    hive.start_broker()
    with hive.subscriber() as subscriber:
        wait_until(lambda: set(waiting) <= set(sightings(subscriber.on("event"))), "all arrive", WAIT_S)
        delivered = sightings(subscriber.on("event"))
    return Upgraded(hive, release, waiting, told, delivered)


@pytest.fixture
def hive(upgraded: Upgraded) -> Iterator[Hive]:
    """Return the hive with its service at work, and put it back to work afterwards."""
    upgraded.hive.wait_until_it_works()
    yield upgraded.hive
    upgraded.hive.restore()


def files_of(hive: Hive) -> set[str]:
    """Return all files and folders but those that come and go by themselves, and what apt brings."""
    passing = (
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
        f"-path /{name}" for name in (*passing, "var/lib/dpkg", "var/lib/apt", "var/lib/systemd")
    )
    listed = hive.debian.tell("sh", "-c", rf"find / \( {pruned} \) -prune -o -print; find /usr/local")
    return set(listed.splitlines())


def sightings(events: list[bytes]) -> list[str]:
    """Return the ids of the sightings, in the order of the events."""
    return [str(json.loads(event)["sighting_id"]) for event in events]


def waiting_sightings(hive: Hive) -> list[str]:
    """Return the ids of the sightings with an event in the outbox, in order."""
    return hive.query("SELECT DISTINCT sighting_id FROM outbox WHERE payload IS NOT NULL ORDER BY id")


def test_it_is_enabled_runs_and_was_looked_at_by_the_doctor(begun: Begun) -> None:
    """What the installer promises."""
    assert "Now the doctor looks at it" in begun.told.stderr
    assert begun.hive.debian.tell("systemctl", "is-enabled", "hivewatch") == "enabled"
    assert begun.hive.property("ActiveState") == "active"


def test_room_and_download_are_told_beforehand(begun: Begun) -> None:
    assert "MB are downloaded" in begun.told.stderr
    assert begun.told.stderr.index("MB are free") < begun.told.stderr.index("Installing into")


def test_numpy_is_of_the_same_major_version_as_the_system_s(begun: Begun) -> None:
    """Otherwise picamera2 from apt would not import."""
    ask = ["-c", "import numpy; print(numpy.__version__.split('.')[0])"]
    system = begun.hive.debian.tell("/usr/bin/python3", *ask)
    assert begun.hive.debian.tell("/opt/hivewatch/current/bin/python", *ask) == system


def test_an_upgrade_with_a_full_outbox_loses_nothing(upgraded: Upgraded) -> None:
    """Events of before the upgrade arrive after it, in their order."""
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
    """Not even the process."""
    before = hive.release(), hive.property("MainPID")
    told = hive.install("this")
    assert told.returncode == 0, told.stderr
    assert "installed already" in told.stderr
    assert (hive.release(), hive.property("MainPID")) == before


def test_a_hornet_reaches_the_broker_and_its_picture_the_disk(hive: Hive) -> None:
    """The whole way through: camera, network, store, publisher, mosquitto."""
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


def test_its_status_says_how_it_goes_and_its_journal_can_be_asked_by_field(hive: Hive) -> None:
    """The status counts the visits that the journal lists."""
    status = re.compile(r"watching, [0-9.]+ fps, last hornet \d\d:\d\d, outbox \d+")
    wait_until(lambda: bool(status.fullmatch(hive.property("StatusText"))), "the status tells", WAIT_S)
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
    """By the figure of systemd itself, for the service as it was loaded."""
    told = hive.debian.tell("systemd-analyze", "security", "--no-pager", "hivewatch.service")
    assert exposure(told) <= 2.0


def test_nobody_complains_about_the_unit(hive: Hive) -> None:
    """On no version of systemd."""
    done = hive.debian.run("systemd-analyze", "verify", "/etc/systemd/system/hivewatch.service")
    assert "hivewatch" not in done.stdout + done.stderr


def test_killed_it_is_back_in_the_set_time_and_nothing_is_lost(hive: Hive) -> None:
    """With alerts waiting, for the broker is away when it is killed."""
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


def test_stopped_in_its_tracks_it_is_killed_by_the_watchdog_and_restarted(hive: Hive) -> None:
    """SIGSTOP: the process is there and does nothing."""
    hive.override(WatchdogSec="20")
    hive.restart()
    stopped = hive.property("MainPID")
    hive.debian.tell("kill", "-STOP", stopped)
    hive.wait_until_it_works(other_than=stopped)
    assert "Watchdog timeout" in hive.journal()


def test_a_camera_that_hangs_is_a_missing_beat(hive: Hive) -> None:
    """A read that never returns: a pipe without a writer, among the pictures of a folder."""
    pictures = HANGING_PICTURES
    hive.debian.tell(
        *("sh", "-c"),
        f"mkdir -p {pictures} && cp $(ls -d /var/lib/hivewatch/snapshots/*/*.jpg | head -n1) {pictures}/1.jpg"
        f" && mkfifo {pictures}/2.jpg; chmod -R a+rX {pictures}",
    )
    hive.configure(camera={"kind": "folder", "folder": {"path": pictures}})
    hive.override(WatchdogSec="20")
    before = int(hive.property("NRestarts"))
    hive.debian.tell("systemctl", "restart", "hivewatch", timeout_s=200)
    wait_until(lambda: int(hive.property("NRestarts")) > before, "it is restarted", WAIT_S)
    assert "read_picture" in hive.journal(), "the log says where it hung"


def test_a_good_file_is_taken_over_by_a_reload(hive: Hive) -> None:
    """Without a new process."""
    process = hive.property("MainPID")
    hive.configure(decision={"threshold": 0.91})
    hive.debian.tell("systemctl", "reload", "hivewatch")
    wait_until(lambda: "changed: decision" in hive.journal(), "it is taken over", WAIT_S)
    wait_until(lambda: hive.property("ActiveState") == "active", "the reload ends")
    assert hive.property("MainPID") == process


def test_a_bad_file_fails_the_reload_and_the_daemon_goes_on(hive: Hive) -> None:
    """The mistakes are told."""
    process = hive.property("MainPID")
    hive.configure(decision={"treshold": 0.91})
    assert hive.debian.run("systemctl", "reload", "hivewatch").returncode != 0
    assert "decision.treshold" in hive.journal()
    beat = hive.property("WatchdogTimestampMonotonic")
    wait_until(lambda: hive.property("WatchdogTimestampMonotonic") != beat, "it goes on", WAIT_S)
    assert (hive.property("ActiveState"), hive.property("MainPID")) == ("active", process)


def test_systemd_hears_of_a_reload_by_signal_too(hive: Hive) -> None:
    """A bad file sent by SIGHUP: reloading, then ready again, on systemd with and without notify-reload."""
    process = hive.property("MainPID")
    hive.configure(decision={"threshold": 7})
    hive.debian.tell("kill", "-HUP", process)
    wait_until(lambda: "the old configuration stays in force" in hive.journal(), "it is refused", WAIT_S)
    wait_until(lambda: hive.property("ActiveState") == "active", "it is ready again")
    assert hive.property("MainPID") == process


def test_an_upgrade_that_does_not_come_up_is_undone(hive: Hive) -> None:
    """It starts, and ends with an error: the version before runs again."""
    broken = copy_of_checkout(hive.sources / "broken")
    with (broken / "hivewatch" / "daemon" / "app.py").open("a") as file:
        file.write(
            "\nfrom hivewatch.errors import ConfigError\n"
            "def run(*_: object) -> None:\n    raise ConfigError(['it is broken'])\n"
        )
    before = hive.release(), hive.debian.tell("ls", "/opt/hivewatch/releases")
    unit = hive.debian.tell("cat", "/etc/systemd/system/hivewatch.service")
    told = hive.install("broken")
    assert told.returncode == 1
    assert "it is broken" in told.stderr
    assert "the version before runs again" in told.stderr
    assert (hive.release(), hive.debian.tell("ls", "/opt/hivewatch/releases")) == before
    assert hive.debian.tell("cat", "/etc/systemd/system/hivewatch.service") == unit
    hive.wait_until_it_works()


def test_a_version_that_the_configuration_does_not_fit_is_refused_before_anything_stops(hive: Hive) -> None:
    """What is new among the options is shown, and which of those in use the new version lacks."""
    unfit = copy_of_checkout(hive.sources / "unfit")
    options = unfit / "hivewatch" / "config" / "sections.py"
    options.write_text(options.read_text().replace("cool_down_s", "calm_down_s"))
    with (unfit / "config" / "hivewatch.yaml").open("a") as file:
        file.write("\n# A section of tomorrow.\n")
    before = hive.release(), hive.property("MainPID")
    told = hive.install("unfit")
    assert told.returncode == 1
    assert "+# A section of tomorrow." in told.stderr
    assert "decision.cool_down_s" in told.stderr
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
            "there is too little room in /opt/hivewatch: 10 MB are free",
        ),
    ],
    ids=["no network", "32 bits", "no room"],
)
def test_what_cannot_work_fails_early_with_a_sentence(
    hive: Hive, enter: tuple[str, ...], sentence: str
) -> None:
    """Before anything is fetched or changed."""
    before = hive.release(), hive.property("MainPID")
    if not (hive.sources / "other").exists():
        other = copy_of_checkout(hive.sources / "other")
        (other / "hivewatch" / "__init__.py").open("a").write("\n")
    told = hive.install("other", enter=enter)
    assert told.returncode == 1
    assert sentence in told.stderr
    assert "Installing" not in told.stderr
    assert (hive.release(), hive.property("MainPID")) == before


@pytest.fixture
def probe(hive: Hive) -> Iterator[Hive]:
    """Return the hive with things to probe, which are gone again afterwards."""
    hive.debian.write("/etc/hivewatch/credentials/password", "honey")
    hive.debian.write("/srv/probe.py", (SUPPORT / "sandbox_probe.py").read_text())
    hive.debian.tell("install", "-g", "video", "-m", "0660", "/dev/null", "/srv/of-video")
    hive.debian.tell("install", "-D", "-m", "0644", "/dev/null", "/home/keeper/secret")
    yield hive
    places = ("/etc/hivewatch/credentials/password", "/srv/probe.py", "/srv/of-video", "/home/keeper")
    hive.debian.tell("rm", "-r", *places)


def test_within_the_sandbox_there_is_what_the_daemon_needs_and_no_more(probe: Hive) -> None:
    """As a probe sees it that runs in place of the daemon."""
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
    said = probe.debian.tell("journalctl", "--unit", "probe", "--output", "cat")
    found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
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


def test_a_second_camera_has_a_service_of_its_own(hive: Hive) -> None:
    """By the template unit, with its own file and its own folder."""
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
    assert hive.property("ActiveState") == "active", "the other goes on"
    hive.debian.tell("systemctl", "stop", "hivewatch@left")
    hive.debian.tell("rm", "-r", "/etc/hivewatch/left.yaml", "/var/lib/hivewatch/left")


def test_a_backup_restores_everything(hive: Hive) -> None:
    """As on a new card: configuration and data are gone, and come back."""
    wait_until(
        lambda: bool(hive.query("SELECT id FROM sightings WHERE ended_at IS NOT NULL")), "a visit", WAIT_S
    )
    backup = "/sources/this/deploy/backup.sh"
    hive.debian.tell(backup, "/root/hive.tar", timeout_s=200)
    assert hive.property("ActiveState") == "active", "a backup disturbs nobody"
    ended = "SELECT id FROM sightings WHERE ended_at IS NOT NULL ORDER BY started_at"
    hive.debian.tell("systemctl", "stop", "hivewatch")
    known, pictures = hive.query(ended), pictures_of(hive)
    config = hive.debian.tell("cat", "/etc/hivewatch/hivewatch.yaml")
    hive.debian.tell("sh", "-c", "rm -rf /etc/hivewatch/* /var/lib/hivewatch/*")
    hive.debian.tell(backup, "restore", "/root/hive.tar", timeout_s=300)
    hive.debian.tell("systemctl", "start", "hivewatch", timeout_s=200)
    hive.wait_until_it_works()
    assert hive.debian.tell("cat", "/etc/hivewatch/hivewatch.yaml") == config
    restored = hive.query(ended)
    assert restored
    assert set(restored) >= set(known[: len(known) - 1]), "all but what ended after the backup"
    assert pictures_of(hive) & pictures
    hive.debian.tell("sh", "-c", "rm -r /etc/hivewatch.before-* /var/lib/hivewatch.before-*")


def pictures_of(hive: Hive) -> set[str]:
    """Return the stored pictures."""
    return set(hive.debian.tell("find", "/var/lib/hivewatch/snapshots", "-name", "*.jpg").splitlines())


def test_a_file_that_is_no_backup_is_refused(hive: Hive) -> None:
    """Before the service is stopped."""
    before = hive.property("MainPID")
    done = hive.debian.run("/sources/this/deploy/backup.sh", "restore", "/etc/hostname")
    assert done.returncode == 1
    assert "is not a backup of hivewatch" in done.stderr
    assert hive.property("MainPID") == before


def test_uninstalled_it_leaves_what_it_says_and_purged_nothing(upgraded: Upgraded, begun: Begun) -> None:
    """The end of the story."""
    hive = upgraded.hive
    hive.debian.tell("rm", "-rf", HANGING_PICTURES)
    told = hive.install("this", "uninstall")
    assert told.returncode == 0, told.stderr
    assert "Kept: /etc/hivewatch, /var/lib/hivewatch" in told.stderr
    left = left_behind(begun)
    assert left
    assert [path for path in left if not path.startswith(("/etc/hivewatch", "/var/lib/hivewatch"))] == []
    assert hive.debian.run("systemctl", "status", "hivewatch").returncode == 4, "systemd knows it no more"
    assert hive.install("this", "uninstall", "--purge").returncode == 0
    assert left_behind(begun) == []
    assert hive.debian.run("getent", "passwd", "hivewatch").returncode != 0


def left_behind(begun: Begun) -> list[str]:
    """Return what was not there before, less the copies that the tools for accounts make of their files."""
    left = files_of(begun.hive) - begun.files_before
    return sorted(path for path in left if not (path.startswith("/etc/") and path.endswith("-")))
