"""The int8 network: the same decisions from a smaller file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hivewatch.domain.frames import Pixels
from hivewatch.errors import ModelError
from hivewatch.training.data.simulated import simulated_shots
from hivewatch.training.evaluation.evaluate import predict
from hivewatch.training.export import Description, export_int8, export_model
from hivewatch.training.model.network import HornetNet, normalise
from hivewatch.vision.classifier import Classifier, fit_to_input, load_classifier
from hivewatch.vision.model_file import read_model_info, use_quantised_engine
from hivewatch.vision.trust import read_model_file

pytestmark = pytest.mark.slow

DESCRIPTION = Description(
    "test", "1", box_level=0.35, training_data="drawn", licence="Apache-2.0", input_long_side_px=224
)


@pytest.fixture(scope="module")
def frames() -> list[Pixels]:
    return [fit_to_input(pixels, 224, 32) for _, pixels in simulated_shots(24, seed=3, scenes=3)]


@pytest.fixture(scope="module")
def net(frames: list[Pixels]) -> HornetNet:
    """Return a random network whose scores on ``frames`` spread around one half.

    They spread little: simulator frames hardly differ, and a larger scale would magnify rounding errors too.
    """
    torch.manual_seed(2)
    net = HornetNet("topk", 2)
    batch = normalise(torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]))
    with torch.no_grad():
        for _ in range(5):
            net(batch)  # update the statistics of the batch norms
        logits, _ = net.eval()(batch)
        net.scale.fill_(0.5 / float(logits.std()))
        net.offset.fill_(-0.5 * float(logits.mean() / logits.std()))
    return net


@pytest.fixture(scope="module")
def files(
    net: HornetNet, frames: list[Pixels], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    export_model(net, folder / "model.pt", DESCRIPTION)
    assert export_int8(net, folder / "model-int8.pt", DESCRIPTION, frames[:12]) <= 1e-4
    return folder / "model.pt", folder / "model-int8.pt"


@pytest.fixture(scope="module")
def both(files: tuple[Path, Path]) -> tuple[Classifier, Classifier]:
    return load_classifier(files[0], threads=1), load_classifier(files[1], threads=1)


def test_the_int8_model_decides_like_the_float_model(
    both: tuple[Classifier, Classifier], frames: list[Pixels]
) -> None:
    """Scores well away from the threshold are on the same side of it."""
    scores = np.array([[predict(frame, model).score for model in both] for frame in frames])
    assert scores[:, 0].std() > 0.05, "equal scores would prove nothing"
    assert np.abs(scores[:, 0] - scores[:, 1]).mean() < 0.05
    assert np.corrcoef(scores.T)[0, 1] > 0.85
    clear = np.abs(scores[:, 0] - 0.5) > 0.12
    assert clear.sum() >= 4
    assert ((scores[clear, 0] > 0.5) == (scores[clear, 1] > 0.5)).all()


def test_the_maps_agree(both: tuple[Classifier, Classifier], frames: list[Pixels]) -> None:
    for frame in frames[:6]:
        floats, integers = (predict(frame, model).cam for model in both)
        assert np.corrcoef(floats.ravel(), integers.ravel())[0, 1] > 0.97


def test_the_file_is_marked_int8_and_half_as_large(files: tuple[Path, Path]) -> None:
    floats, integers = (read_model_info(read_model_file(path)) for path in files)
    assert (floats.precision, integers.precision) == ("float", "int8")
    assert files[1].stat().st_size < 0.6 * files[0].stat().st_size


def test_the_weights_are_integers_in_the_file(files: tuple[Path, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.load(files[1])
    operations = [node.kind() for node in graph.inlined_graph.nodes()]
    integers = sum(name.startswith("quantized::conv2d") for name in operations)
    assert integers == 20, "all convolutions of a ResNet18"
    assert sum(name in ("aten::conv2d", "aten::_convolution") for name in operations) == 1, "the classifier"


def test_exporting_does_not_change_the_network(net: HornetNet, frames: list[Pixels], tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    export_int8(net, tmp_path / "model.pt", DESCRIPTION, frames[:2])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_quantising_needs_frames(net: HornetNet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frames"):
        export_int8(net, tmp_path / "model.pt", DESCRIPTION, [])


def test_a_torch_without_a_suitable_engine_is_an_error_with_advice(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["none"])
    with pytest.raises(ModelError, match=r"no engine for int8 models.*use the float model"):
        load_classifier(files[1], threads=1)


@pytest.fixture
def engine() -> Iterator[None]:
    """Restore the engine after the test."""
    before = torch.backends.quantized.engine
    yield
    torch.backends.quantized.engine = before


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("machine", "vnni", "expected"),
    [("aarch64", False, "qnnpack"), ("x86_64", False, "qnnpack"), ("x86_64", True, "x86")],
)
def test_the_fastest_exact_engine_of_the_processor_is_used(
    machine: str, vnni: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without VNNI the x86 engines saturate: scores would be silently wrong."""
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["qnnpack", "onednn", "x86"])
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: vnni)
    assert use_quantised_engine() == expected


@pytest.mark.usefixtures("engine")
def test_a_missing_engine_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["qnnpack"])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: True)
    assert use_quantised_engine() == "qnnpack"
