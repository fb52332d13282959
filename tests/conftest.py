"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Broker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a golden file be written anew on purpose."""
    parser.addoption("--update-expected", action="store_true", help="write the expected results anew")


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a model file of the released format with random weights: quick to make, valid, and no judge."""
    import torch

    from hivewatch.training.export import Description, export_model
    from hivewatch.training.network import HornetNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "untrained.pt"
    description = Description(
        name="untrained",
        version="0",
        box_level=0.2,
        training_data="none",
        licence="Apache-2.0",
        input_long_side_px=128,
    )
    export_model(HornetNet(), path, description)
    return path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A real mosquitto on a free port of loopback, running, open to everybody."""
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory).start()
    yield broker
    broker.kill()
