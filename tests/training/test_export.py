"""Exporting a trained network to a model file, and loading it to train further."""

from __future__ import annotations

import errno
import resource
import signal
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.users import make_closed_folder, without_rights

import hivewatch
from hivewatch.cli.main import main
from hivewatch.config.sections import Config
from hivewatch.doctor.finding import Verdict
from hivewatch.doctor.model import check_model
from hivewatch.errors import DataError, ModelError
from hivewatch.training.export import Description, export_model, is_model_file, load_model_file
from hivewatch.training.model.network import POOLINGS, HornetNet, normalise
from hivewatch.training.run import load_network
from hivewatch.training.whole_files import check_targets, whole_files
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.model_file import load_graph, read_model_info
from hivewatch.vision.second_look import SecondLook
from hivewatch.vision.trust import ModelFile, read_model_file, released_model

DESCRIPTION = Description(
    name="test",
    version="1.2",
    box_level=0.35,
    training_data="random numbers",
    licence="Apache-2.0",
    recipe={"epochs": 3, "rate": 1e-3},
)


def make_net(pooling: str = "topk", layer4_stride: int = 2) -> HornetNet:
    """Return a network whose batch norms and calibration are not identities."""
    torch.manual_seed(2)
    net = HornetNet(pooling, layer4_stride)
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64))
    net.scale.fill_(0.7)
    net.offset.fill_(-0.3)
    return net.eval()


@pytest.mark.parametrize(("pooling", "layer4_stride"), [*((name, 2) for name in POOLINGS), ("topk", 1)])
def test_the_file_computes_what_the_network_computes(
    pooling: str, layer4_stride: int, tmp_path: Path
) -> None:
    net = make_net(pooling, layer4_stride)
    path = tmp_path / "model.pt"
    assert export_model(net, path, DESCRIPTION) <= 1e-4
    frame = torch.randint(0, 256, (96, 128, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits, cam = net(normalise(frame.permute(2, 0, 1)[None]))
        found_score, found_cam = load_graph(read_model_file(path))(frame)
    # The weights in the file are rounded to float16.
    torch.testing.assert_close(found_score, net.calibrate(logits)[0], atol=5e-3, rtol=0)
    torch.testing.assert_close(found_cam, cam[0, 0], atol=2e-2, rtol=2e-2)


def test_weights_are_float16_in_the_file_and_float32_once_loaded(tiny_model_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = torch.jit.load(tiny_model_path)
    loaded = load_graph(read_model_file(tiny_model_path))
    for module, dtype in ((stored, torch.float16), (loaded, torch.float32)):
        values = [*module.parameters(), *module.buffers()]
        assert len(values) > 40
        assert {value.dtype for value in values} == {dtype}


def test_the_file_is_smaller_than_25_mb(tiny_model_path: Path) -> None:
    assert tiny_model_path.stat().st_size < 25e6


def test_the_graph_has_no_constant_tensors_that_stay_float16(tiny_model_path: Path) -> None:
    with zipfile.ZipFile(tiny_model_path) as archive:
        constants = [name for name in archive.namelist() if "/constants/" in name]
    assert constants == []


def test_the_file_names_no_path_of_the_building_machine(tiny_model_path: Path) -> None:
    package = str(Path(hivewatch.__file__).parent).encode()
    with zipfile.ZipFile(tiny_model_path) as archive:
        leaking = [name for name in archive.namelist() if package in archive.read(name)]
    assert leaking == []


def test_the_file_carries_the_description(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    export_model(make_net("lse", 1), path, DESCRIPTION)
    info = read_model_info(read_model_file(path))
    assert (info.name, info.version, info.box_level) == ("test", "1.2", 0.35)
    assert (info.labels, info.pooling, info.cam_stride_px) == (("absence", "presence"), "lse", 16)
    assert (info.input_long_side_px, info.input_multiple_px) == (640, 32)
    assert info.recipe == {"epochs": 3, "rate": 1e-3}
    assert info.torch_version == torch.__version__


def test_the_file_carries_the_second_look(tmp_path: Path) -> None:
    """A file without it would be loaded all the same, and find fewer hornets."""
    path = tmp_path / "model.pt"
    look = SecondLook(places=2, zoom=1.6, window_px=256, from_score=0.1, first=0.5, second=0.25, offset=-1.0)
    export_model(make_net(), path, replace(DESCRIPTION, second_look=look))
    assert read_model_info(read_model_file(path)).second_look == look


def test_exporting_does_not_change_the_network(tmp_path: Path) -> None:
    net = make_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    export_model(net.train(), tmp_path / "model.pt", DESCRIPTION)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_network_that_returns_nan_is_not_exported_and_the_old_file_stays(tmp_path: Path) -> None:
    net = make_net()
    with torch.no_grad():
        net.classifier.bias.fill_(float("nan"))
    path = tmp_path / "model.pt"
    path.write_bytes(b"the model in use")
    with pytest.raises(ModelError, match="differs"):
        export_model(net, path, DESCRIPTION)
    assert path.read_bytes() == b"the model in use"
    assert list(tmp_path.iterdir()) == [path]


def test_a_graph_that_differs_from_the_network_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_another(file: ModelFile) -> object:
        graph = load_graph(file)
        return lambda frame: (graph(frame)[0], graph(frame)[1] + 0.01)

    monkeypatch.setattr("hivewatch.training.export.load_graph", load_another)
    with pytest.raises(ModelError, match="differs"):
        export_model(make_net(), tmp_path / "model.pt", DESCRIPTION)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot export"):
        export_model(make_net(), tmp_path / "nowhere" / "model.pt", DESCRIPTION)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let every larger file fail to be written, as on a full disk."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"the model in use")
    with files_of_at_most(4_000_000), pytest.raises(ModelError, match=r"model\.pt: cannot export the model:"):
        export_model(make_net(), path, DESCRIPTION)
    assert path.read_bytes() == b"the model in use"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug"), MemoryError()])
def test_a_block_that_fails_leaves_no_file_of_the_pair(error: BaseException, tmp_path: Path) -> None:
    paths = [tmp_path / "model.pt", tmp_path / "model-int8.pt"]
    paths[0].write_bytes(b"old")
    with pytest.raises(type(error)), whole_files(*paths) as partial:
        partial[0].write_bytes(b"new")
        raise error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.pt": b"old"}


def test_files_get_their_names_only_when_all_are_written(tmp_path: Path) -> None:
    paths = [tmp_path / "model.pt", tmp_path / "model-int8.pt"]
    with whole_files(*paths) as partial:
        for file in partial:
            file.write_bytes(b"new")
        assert not any(path.exists() for path in paths)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "model.pt": b"new",
        "model-int8.pt": b"new",
    }


@pytest.mark.parametrize(
    "existing", [{}, {"model.pt": b"old"}, {"model.pt": b"old", "model-int8.pt": b"old8"}]
)
def test_a_pair_of_which_one_cannot_be_renamed_is_not_replaced(
    existing: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in existing.items():
        (tmp_path / name).write_bytes(content)
    usual = Path.replace

    def fail_for_int8(self: Path, target: Path) -> Path:
        if self.name == "model-int8.pt.part":
            raise OSError(errno.EIO, "Input/output error")
        return usual(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_int8)
    with (
        pytest.raises(ModelError, match="Input/output error"),
        whole_files(tmp_path / "model.pt", tmp_path / "model-int8.pt") as partial,
    ):
        for file in partial:
            file.write_bytes(b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == existing


def test_a_file_whose_folder_cannot_be_synced_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "model.pt").write_bytes(b"old")
    monkeypatch.setattr("hivewatch.training.whole_files.sync_folder", fail)
    with pytest.raises(ModelError, match="Input/output error"), whole_files(tmp_path / "model.pt") as partial:
        partial[0].write_bytes(b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.pt": b"old"}


def test_ctrl_c_while_a_pair_is_renamed_comes_after_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return usual(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        whole_files(tmp_path / "model.pt", tmp_path / "model-int8.pt") as partial,
    ):
        for file in partial:
            file.write_bytes(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "model-int8.pt"}


def test_a_folder_is_not_a_file_to_export_to(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="name a file in a folder that exists"):
        export_model(make_net(), tmp_path, DESCRIPTION)


def test_a_closed_folder_is_none_to_export_to(tmp_path: Path) -> None:
    closed = make_closed_folder(tmp_path / "closed")
    with pytest.raises(ModelError, match="in a folder that exists and is yours"), without_rights(Path("/")):
        check_targets(closed / "model.pt")


@pytest.fixture(scope="module", params=["a step of an export", "a step of an export before 0.4"])
def unfinished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file that an export has not finished; before 0.4 only the box level shows that."""
    path = tmp_path_factory.mktemp("unfinished") / "model.pt"
    old = request.param.endswith("0.4")
    export_model(make_net(), path, replace(DESCRIPTION, box_level=1.0 if old else 0.5, finished=old))
    return path


def test_a_model_that_was_never_finished_is_loaded_only_on_request(unfinished: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.pt: an export that failed left this unfinished model"):
        load_classifier(unfinished, 0)
    assert load_classifier(unfinished, 0, unfinished=True).model.name == "test"


def test_check_and_doctor_reject_a_model_that_was_never_finished(
    unfinished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hive.yaml"
    config.write_text(f"camera: {{kind: simulator}}\nclassifier: {{model: {unfinished}}}\n")
    assert main(["check", "--config", str(config)]) == 5
    caught = capsys.readouterr()
    assert "export the model again" in caught.err
    assert "valid" not in caught.out
    finding = check_model(
        Config.model_validate_json(f'{{"classifier": {{"model": "{unfinished}"}}}}'), daemon_runs=False
    )
    assert finding.verdict is Verdict.FAIL
    assert "unfinished" in finding.found


def test_check_accepts_a_whole_model(
    tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hive.yaml"
    config.write_text(f"camera: {{kind: simulator}}\nclassifier: {{model: {tiny_model_path}}}\n")
    assert main(["check", "--config", str(config)]) == 0
    assert "valid" in capsys.readouterr().out


def test_check_rejects_a_truncated_model(
    tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "half.pt").write_bytes(tiny_model_path.read_bytes()[:1_000_000])
    config = tmp_path / "hive.yaml"
    config.write_text("camera: {kind: simulator}\nclassifier: {model: half.pt}\n")
    assert main(["check", "--config", str(config)]) == 5
    assert "half.pt: not a model file, or truncated" in capsys.readouterr().err


def test_torchscript_warnings_do_not_reach_the_user(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_model(make_net(), tmp_path / "model.pt", DESCRIPTION)


def test_freed_builtins_are_removed_from_the_table_of_torchscript(tmp_path: Path) -> None:
    export_model(make_net(), tmp_path / "model.pt", DESCRIPTION)
    names = torch.jit._builtins._get_builtin_table().values()
    assert names
    assert not [name for name in names if name.startswith("quantized_decomposed")]


def test_a_model_file_can_be_trained_further(tmp_path: Path) -> None:
    """A new network with the weights of the file computes the same map in trainable layers."""
    exported, net = make_net(), HornetNet()
    path = tmp_path / "model.pt"
    export_model(exported, path, DESCRIPTION)
    load_model_file(net, path)
    frames = normalise(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    with torch.inference_mode():
        expected, found = exported.forward_map(frames), net.eval().forward_map(frames)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)  # rounded to float16


def test_a_state_dict_is_not_a_model_file(tiny_model_path: Path, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    (tmp_path / "text.pt").write_text("no zip at all")
    assert is_model_file(tiny_model_path)
    assert not is_model_file(tmp_path / "weights.pt")
    assert not is_model_file(tmp_path / "text.pt")


def test_an_int8_model_cannot_be_trained_further() -> None:
    with pytest.raises(ModelError, match="int8 model cannot be trained further"):
        load_model_file(HornetNet(), released_model("int8"))


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02cos\nsystem\n.", b"PK\x05\x06" + b"\xff" * 18])
def test_foreign_bytes_are_no_checkpoint_and_no_model_file(content: bytes, tmp_path: Path) -> None:
    """The third is a pickle that would run a program, the last the end of a zip that holds nothing."""
    path = tmp_path / "foreign.ckpt"
    path.write_bytes(content)
    assert not is_model_file(path)
    with pytest.raises(DataError, match="cannot be read as a training checkpoint"):
        load_network(path)
