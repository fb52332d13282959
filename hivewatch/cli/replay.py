"""The command replay: runs pictures and clips through the daemon's loop."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hivewatch.daemon.replay import Replayed, Source
    from hivewatch.domain.sightings import Sighting
    from hivewatch.domain.wire import Alert


def replay_files(arguments: argparse.Namespace) -> int:
    """Print the sightings in the files, or everything as JSON lines."""
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config
    from hivewatch.daemon import app, replay
    from hivewatch.daemon.recorder import guest_publisher, open_recorder
    from hivewatch.system.stopwatch import Stopwatch

    config = load(arguments.config, needs_camera=False) if arguments.config else Config()
    app.set_log_level(config)
    sources = replay.find_sources(arguments.paths, config.camera.rate_hz)
    with contextlib.ExitStack() as opened:
        directory = arguments.out
        if directory is None and not (arguments.config or arguments.publish):
            directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-")))
        config = replay.adapted(config, directory, ungated=arguments.ungated)
        stopwatch = Stopwatch()
        classifier = app.make_classifier(config, stopwatch)
        publisher = guest_publisher if arguments.publish else None
        print_event = _print_event_json if arguments.json else _print_event
        recorder = open_recorder(config, classifier, stopwatch, opened, publisher, on_recorded=print_event)
        _replay_all(replay.replay(sources, config, classifier, recorder), sources, arguments.json)
        if arguments.publish:
            replay.deliver(recorder, config.mqtt)
    return 0


def _replay_all(frames: Iterable[Replayed], sources: Sequence[Source], as_json: bool) -> None:
    """Replay the frames with a progress bar on a terminal; print each as JSON, or a summary at the end."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    total = sum(source.length for source in sources)
    count = gated = 0
    with logging_redirect_tqdm(), tqdm(total=total or None, unit="frame", disable=None) as bar:
        for frame in frames:
            count += 1
            gated += frame.step.prediction is None
            if as_json:
                print(json.dumps(frame.document()), flush=True)
            bar.update()
    if not as_json:
        print(f"{count} frames replayed, {gated} of them held back by the gate")


def _print_event_json(_sighting: Sighting, alert: Alert) -> None:
    print(json.dumps({"sighting": json.loads(alert.event.payload)}), flush=True)


def _print_event(sighting: Sighting, _alert: Alert) -> None:
    from tqdm import tqdm

    at_s, best = sighting.best_frame.monotonic_s, sighting.best.score
    tqdm.write(
        f"sighting {sighting.id[:8]} {sighting.phase:6}  best score {best:.2f} at {at_s:.1f} s"
        f" of {sighting.best_frame.source}, {sighting.votes_for} of {sighting.votes} frames"
    )
