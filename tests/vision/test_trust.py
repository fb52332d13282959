"""Which model files may run: who else could have changed them, and what pins the released ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from support.users import NOBODY, without_rights

from hivewatch.errors import ModelError
from hivewatch.vision import trust
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.trust import HASHES, RELEASED_MODEL, read_model_file, read_released_model

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file that only this user can change, in a folder of the same kind."""
    folder = tmp_path / "models"
    folder.mkdir(mode=0o755)
    path = folder / "model.pt"
    path.write_bytes(b"a model")
    path.chmod(0o644)
    return path


def test_a_file_that_only_this_user_can_change_is_read(path: Path) -> None:
    file = read_model_file(path)
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert (file.path, file.content, file.sha256) == (path, b"a model", digest)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_group_or_others_may_write_is_refused_and_the_way_out_named(
    path: Path, mode: int
) -> None:
    path.chmod(mode)
    with pytest.raises(ModelError) as refused:
        read_model_file(path)
    assert str(refused.value) == (
        f"{path}: a model file is code, and others can change this one: group or others may write to {path};"
        f" run `chmod go-w {path}`, or set classifier.allow_writable_model to run it all the same"
    )
    path.chmod(0o644)
    assert read_model_file(path).content == b"a model"


def test_one_command_mends_all_that_a_umask_has_left_writable_whatever_the_names(tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    (folder / "new").mkdir(parents=True)
    path = folder / "new" / "it's $(mine).pt"
    path.write_bytes(b"a model")
    for step, mode in ((folder, 0o775), (folder / "new", 0o775), (path, 0o664)):
        step.chmod(mode)
    with pytest.raises(ModelError) as refused:
        read_model_file(path)
    command = re.search("run `(.*)`, or", str(refused.value))
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True)
    assert read_model_file(path).content == b"a model"


@as_root
def test_the_command_says_that_it_needs_root(path: Path) -> None:
    path.chmod(0o664)
    with without_rights(path), pytest.raises(ModelError, match="run `sudo chmod go-w"):
        read_model_file(path)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o2775])
def test_a_folder_that_group_or_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    with pytest.raises(ModelError, match=f"may write to {path.parent}; run `chmod go-w"):
        read_model_file(path)


def test_a_folder_further_up_is_refused_as_well(path: Path) -> None:
    path.parent.parent.chmod(0o777)
    with pytest.raises(ModelError, match=f"may write to {path.parent.parent};"):
        read_model_file(path)


def test_in_a_folder_with_the_sticky_bit_nobody_replaces_the_file_of_another(path: Path) -> None:
    path.parent.chmod(0o1777)
    assert read_model_file(path).content == b"a model"


def test_the_sticky_bit_of_a_file_means_nothing(path: Path) -> None:
    path.chmod(0o1666)
    with pytest.raises(ModelError, match="may write to"):
        read_model_file(path)


@pytest.mark.parametrize("what", ["file", "folder", "link"])
@as_root
def test_what_belongs_to_another_user_is_refused(path: Path, what: str) -> None:
    link = path.with_name("link.pt")
    link.symlink_to("model.pt")
    step = {"file": path, "folder": path.parent, "link": link}[what]
    os.chown(step, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(ModelError, match=rf"others can change this one: {step} belongs to user \w+; copy"):
        read_model_file(link)


@as_root
def test_root_s_file_is_read_by_another_user(path: Path) -> None:
    with without_rights(path):
        assert read_model_file(path).content == b"a model"


@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_a_link_is_followed_to_the_folder_it_leads_to(path: Path, tmp_path: Path, target: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "first").symlink_to(path.parent if target == "absolute" else "../models")
    (elsewhere / "second.pt").symlink_to("first/model.pt")
    assert read_model_file(elsewhere / "second.pt").content == b"a model"
    path.parent.chmod(0o777)
    with pytest.raises(ModelError, match=f"may write to {path.parent};"):
        read_model_file(elsewhere / "second.pt")


def test_a_path_with_dots_is_followed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    path.parent.parent.chmod(0o777)
    with pytest.raises(ModelError, match=f"may write to {path.parent.parent};"):
        read_model_file(Path("../models/./model.pt"))


def test_it_can_be_allowed(path: Path) -> None:
    path.chmod(0o666)
    assert read_model_file(path, allow_writable=True).content == b"a model"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(ModelError, match=r"pipe\.pt: not a model file, but a device or a pipe"):
        read_model_file(tmp_path / "pipe.pt")


def test_a_file_that_is_too_large_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "LARGEST_MB", 1)
    os.truncate(path, 1_000_000)
    assert len(read_model_file(path).content) == 1_000_000
    os.truncate(path, 1_000_001)
    with pytest.raises(ModelError, match="at most 1 MB"):
        read_model_file(path)


def test_the_hashes_are_those_of_the_released_files() -> None:
    """After a release of the model: `cd hivewatch/vision/models && sha256sum *.pt > SHA256SUMS`."""
    files = sorted(path.name for path in RELEASED_MODEL.parent.glob("*.pt"))
    done = subprocess.run(
        ["sha256sum", *files], cwd=RELEASED_MODEL.parent, capture_output=True, text=True, check=True
    )
    assert RELEASED_MODEL.with_name(HASHES).read_text() == done.stdout


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the released models, which is in use instead of them."""
    folder = tmp_path / "package"
    shutil.copytree(RELEASED_MODEL.parent, folder)
    monkeypatch.setattr(trust, "RELEASED_MODEL", folder / RELEASED_MODEL.name)
    return folder


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_without_a_path_only_the_released_file_runs(
    package: Path, tiny_model_path: Path, precision: Literal["float", "int8"]
) -> None:
    path = trust.released_model(precision)
    assert load_classifier(None, 0, precision=precision).model.sha256 == read_released_model(precision).sha256
    shutil.copy(tiny_model_path, path)
    with pytest.raises(ModelError, match=f"{path}: this is not the released model"):
        load_classifier(None, 0, precision=precision)
    path.unlink()
    with pytest.raises(ModelError, match=f"cannot read the model file {path}: No such file"):
        load_classifier(None, 0, precision=precision)


@pytest.mark.parametrize("content", [None, b"", b"\xff\n", b"nonsense"])
def test_without_its_hash_the_released_file_does_not_run(package: Path, content: bytes | None) -> None:
    (package / HASHES).unlink()
    if content is not None:
        (package / HASHES).write_bytes(content)
    with pytest.raises(ModelError, match=f"or {HASHES} beside it lacks it"):
        load_classifier(None, 0)


def test_one_released_file_does_not_pass_for_the_other(package: Path) -> None:
    shutil.copy(trust.released_model("int8"), trust.released_model("float"))
    with pytest.raises(ModelError, match="this is not the released model"):
        load_classifier(None, 0)


def test_a_released_file_is_known_by_its_hash_wherever_it_lies(package: Path) -> None:
    path = trust.released_model("float")
    path.chmod(0o666)
    assert read_model_file(path).sha256 == read_released_model("float").sha256
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="may write to"):
        read_model_file(path)
