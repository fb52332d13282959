"""The bench really measures every stage; the speed itself is not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hivewatch.bench import measure as bench
from hivewatch.config.sections import CameraConfig, ClassifierConfig, Config
from hivewatch.errors import ModelError

pytestmark = pytest.mark.slow

FRAMES = 8


@pytest.fixture(scope="module")
def report(tiny_model_path: Path) -> bench.Report:
    camera = CameraConfig(width_px=320, height_px=240)
    config = Config(camera=camera, classifier=ClassifierConfig(model=tiny_model_path, threads=1))
    return bench.measure(config, FRAMES)


def test_every_stage_is_measured_on_every_frame_or_event(report: bench.Report) -> None:
    assert set(report.stages) == set(bench.STAGES)
    assert report.stages["closer"] is None  # this model takes no second look
    for name in set(bench.STAGES) - {"closer"}:
        stage = report.stages[name]
        assert stage is not None, name
        assert 0 < stage.p50_ms <= stage.p95_ms
        assert stage.count == (2 if name in ("compose", "store", "publish") else FRAMES)


def test_the_delivery_from_a_frame_to_a_subscriber_is_measured(report: bench.Report) -> None:
    """With a real mosquitto: a frame's event arrives first, then its picture."""
    event, picture = (report.deliveries[name] for name in ("frame to event", "frame to picture"))
    assert event is not None
    assert picture is not None
    assert event.count == picture.count == 2
    assert 0 < event.p50_ms < picture.p50_ms
    assert "frame to picture" in report.table()


def test_start_up_is_split_into_torch_model_and_first_prediction(report: bench.Report) -> None:
    assert report.import_torch_s > 0
    assert report.load_model_s > 0
    assert report.import_torch_s + report.load_model_s < report.first_prediction_s


def test_the_loop_is_compared_with_the_bare_forward_pass(report: bench.Report) -> None:
    assert report.bare_forward.count == FRAMES
    assert report.overhead > 0
    assert report.loop_to_bare_forward > 0


def test_the_report_is_available_as_a_table_and_as_json(report: bench.Report) -> None:
    assert all(name in report.table() for name in bench.STAGES)
    assert json.loads(json.dumps(report.document()))["stages"]["forward"]["count"] == FRAMES


def test_a_model_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no model")
    config = Config(classifier=ClassifierConfig(model=tmp_path / "model.pt"))
    with pytest.raises(ModelError, match=r"model\.pt"):
        bench.measure(config, FRAMES)
