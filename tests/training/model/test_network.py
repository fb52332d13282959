"""The network: its map, pooling, calibration and start weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from hivewatch.errors import ModelError
from hivewatch.training.model.network import POOLINGS, HornetNet, normalise


@pytest.fixture(scope="module")
def imagenet_like() -> torch.nn.Module:
    """Return a ResNet18 with 1000 classes in torchvision's layout and with trained batch norms."""
    torch.manual_seed(1)
    model = resnet18(weights=None)
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="module")
def weights_path(imagenet_like: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18_fp16.pt"
    torch.save({name: value.half() for name, value in imagenet_like.state_dict().items()}, path)
    return path


@pytest.mark.parametrize(("layer4_stride", "shape"), [(2, (2, 3)), (1, (4, 6))])
def test_a_map_cell_is_one_stride_wide(layer4_stride: int, shape: tuple[int, int]) -> None:
    net = HornetNet(layer4_stride=layer4_stride).eval()
    assert net.forward_map(torch.zeros(2, 3, 64, 96)).shape == (2, 1, *shape)
    assert shape == (64 // net.cam_stride_px, 96 // net.cam_stride_px)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (7, 200)])
def test_any_input_size_gives_a_finite_map(size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits, cam = HornetNet().eval()(torch.rand(1, 3, *size))
    assert cam.isfinite().all()
    assert logits.shape == (1,)


def test_the_mean_of_the_map_is_the_classification_of_the_mean_feature() -> None:
    """Zhou et al. 2016, section 2: with global average pooling, score and map agree exactly."""
    net = HornetNet(pooling="gap").eval()
    x = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        feature = net.body(x).mean((2, 3), keepdim=True)
        classes = net.classifier(feature)[:, :, 0, 0]
        logits, _ = net(x)
    torch.testing.assert_close(logits, classes[:, 1] - classes[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("gap", 1.0),
        ("topk", 4.0),
        ("max", 5.0),
        ("lse", math.log(sum(math.exp(2 * value) for value in (5, 3, 1, 0, -1, -2)) / 6) / 2),
    ],
)
def test_each_pooling_reduces_the_map_to_one_logit(pooling: str, expected: float) -> None:
    cam = torch.tensor([[[[5.0, 3.0, 1.0], [0.0, -1.0, -2.0]]]])
    assert float(HornetNet(pooling=pooling).pool(cam)) == pytest.approx(expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_map_of_one_cell_pools_to_that_cell(pooling: str) -> None:
    assert float(HornetNet(pooling=pooling).pool(torch.tensor([[[[1.5]]]]))) == pytest.approx(1.5)


def test_calibration_scales_and_shifts_the_logit() -> None:
    net = HornetNet()
    net.scale.fill_(2.0)
    net.offset.fill_(-1.0)
    assert float(net.calibrate(torch.tensor(0.5))) == pytest.approx(0.5)
    assert float(net.calibrate(torch.tensor(1.0))) == pytest.approx(1 / (1 + math.exp(-1)))


def test_unknown_options_are_rejected() -> None:
    with pytest.raises(ValueError, match="gap, topk, lse, max"):
        HornetNet(pooling="median")
    with pytest.raises(ValueError, match="layer4_stride"):
        HornetNet(layer4_stride=4)


def test_the_backbone_computes_the_same_as_its_source_resnet(
    imagenet_like: torch.nn.Module, weights_path: Path
) -> None:
    net = HornetNet().eval()
    net.load_backbone(weights_path)
    assert all(value.dtype == torch.float32 for value in net.body.parameters())
    features: list[torch.Tensor] = []
    imagenet_like.layer4.register_forward_hook(lambda _module, _inputs, output: features.append(output))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        imagenet_like(x)
        torch.testing.assert_close(net.body(x), features[0], atol=0.02, rtol=0.02)


def test_fresh_layers_keep_their_random_values(imagenet_like: torch.nn.Module, weights_path: Path) -> None:
    net = HornetNet()
    before = net.body.layer4[1].conv1.weight.clone()
    net.load_backbone(weights_path, fresh=("layer4.1",))
    assert torch.equal(net.body.layer4[1].conv1.weight, before)
    assert torch.equal(net.body.layer4[0].conv1.weight, imagenet_like.layer4[0].conv1.weight.half().float())


def test_a_file_that_is_not_a_resnet18_is_rejected(tmp_path: Path) -> None:
    contents = {
        "missing": None,
        "text": b"not weights",
        "list": [1, 2],
        "other": {"conv1.weight": torch.zeros(3)},
        "resnet34": {"fc.weight": torch.zeros(2, 512)},
    }
    for name, content in contents.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(ModelError, match=name):
            HornetNet().load_backbone(path)


def test_wrong_shapes_are_rejected(imagenet_like: torch.nn.Module, tmp_path: Path) -> None:
    state = imagenet_like.state_dict() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    torch.save(state, tmp_path / "grey.pt")
    with pytest.raises(ModelError, match=r"(?s)grey\.pt: not a ResNet18.*conv1"):
        HornetNet().load_backbone(tmp_path / "grey.pt")


def test_pixels_are_normalised_by_imagenets_mean_and_deviation() -> None:
    grey = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    channels = normalise(grey)[0, :, 0, 0]
    assert channels.tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-3)
