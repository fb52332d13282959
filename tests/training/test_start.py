"""What a run starts from if nobody says."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from hivewatch.errors import ModelError
from hivewatch.training import start
from hivewatch.training.model.network import HornetNet
from hivewatch.training.start import start_weights
from hivewatch.vision.trust import RELEASED_MODEL


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)


def test_named_weights_are_used(no_network: None) -> None:
    assert start_weights(Path("mine.pt"), print) == Path("mine.pt")
    assert start_weights("imagenet", print) == "imagenet"


def test_imagenets_weights_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: {})
    assert start_weights(None, print) == "imagenet"


def test_without_a_network_the_released_model_is_used_and_one_line_says_so(no_network: None) -> None:
    said: list[str] = []
    assert start_weights(None, said.append) == RELEASED_MODEL
    (line,) = said
    assert "released model" in line
    assert "\n" not in line


def test_without_network_and_released_model_the_error_names_both_ways_out(
    no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "RELEASED_MODEL", tmp_path / "gone.pt")
    with pytest.raises(ModelError, match=r"no route to host.*internet.*--weights.*gone\.pt is missing"):
        start_weights(None, print)


def test_imagenet_named_without_a_network_is_an_error_that_names_both_ways_out(no_network: None) -> None:
    with pytest.raises(ModelError, match=r"connect to the internet.*--weights"):
        HornetNet().load_backbone("imagenet")
