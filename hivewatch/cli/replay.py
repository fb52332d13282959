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
    from hivewatch.answers.findings import Findings
    from hivewatch.answers.page import Page
    from hivewatch.config.sections import Config
    from hivewatch.daemon.replay import Replayed, Source
    from hivewatch.domain.sightings import ModelIdentity, Sighting
    from hivewatch.domain.wire import Alert
    from hivewatch.errors import CameraError


def replay_files(arguments: argparse.Namespace) -> int:
    """Print what was found in the files, or everything as JSON lines."""
    from hivewatch.answers.findings import Findings
    from hivewatch.answers.page import Page
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config
    from hivewatch.daemon import app, replay
    from hivewatch.daemon.recorder import guest_publisher, open_recorder
    from hivewatch.system.stopwatch import Stopwatch

    config = load(arguments.config, needs_camera=False) if arguments.config else Config()
    app.set_log_level(config)
    sources = replay.find_sources(arguments.paths, config.camera.rate_hz)
    page = Page(arguments.report) if arguments.report else None
    findings = Findings(sources, config.decision.threshold)
    output = _Output(findings, page, as_json=arguments.json)
    with contextlib.ExitStack() as opened:
        directory = arguments.out
        if directory is None and not (arguments.config or arguments.publish):
            directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-")))
        config = replay.adapted(config, directory, ungated=arguments.ungated)
        stopwatch = Stopwatch()
        classifier = app.make_classifier(config, stopwatch)
        publisher = guest_publisher if arguments.publish else None
        on_recorded = output.on_recorded
        recorder = open_recorder(config, classifier, stopwatch, opened, publisher, on_recorded=on_recorded)
        frames = replay.replay(sources, config, classifier, recorder, output.on_end)
        try:
            output.run(frames, sources)
        finally:
            is_complete = findings.ended == len(sources)
            output.finish(_facts(config, recorder.model), complete=is_complete)
        if arguments.publish:
            replay.deliver(recorder, config.mqtt)
    return 0


class _Output:
    """Prints the answers, or JSON lines, and writes the page if there is one."""

    def __init__(self, findings: Findings, page: Page | None, *, as_json: bool) -> None:
        self._findings = findings
        self._page = page
        self._as_json = as_json

    def run(self, frames: Iterable[Replayed], sources: Sequence[Source]) -> None:
        """Take the frames, with a progress bar on a terminal."""
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        total = sum(source.length for source in sources)
        with logging_redirect_tqdm(), tqdm(total=total or None, unit="frame", disable=None) as bar:
            for frame in frames:
                self._findings.add(frame)
                if self._as_json:
                    print(json.dumps(frame.document()), flush=True)
                bar.update()

    def on_recorded(self, sighting: Sighting, alert: Alert) -> None:
        """Print an event as JSON; print a visit once it has ended, and keep its pictures for the page."""
        from hivewatch.answers.words import hornet_line
        from hivewatch.domain.sightings import Phase

        if self._as_json:
            print(json.dumps({"sighting": json.loads(alert.event.payload)}), flush=True)
        if sighting.phase is not Phase.END:
            return
        hornet = self._findings.add_sighting(sighting)
        if not self._findings.in_one_picture:
            self._write(hornet_line(hornet))
        if self._page is not None:
            self._page.add(hornet, alert)

    def on_end(self, source: Source, error: CameraError | None) -> None:
        """Print the answer for a source."""
        from hivewatch.answers.words import answer_line

        self._write(answer_line(self._findings.end(source, error)))

    def finish(self, facts: str, *, complete: bool) -> None:
        """Print the sum of several answers, and write the page; not ``complete`` if it was ended early."""
        from hivewatch.answers.words import total_line

        answers = self._findings.answers
        if not complete:
            self._write("The replay was ended early. This is what was found until then:")
        if len(answers) > 1:
            self._write(total_line(answers))
        if self._page is not None:
            self._page.write(answers, facts, complete=complete)
            self._write(f"Report: {self._page.index}")

    def _write(self, line: str) -> None:
        from tqdm import tqdm

        if not self._as_json:
            tqdm.write(line)


def _facts(config: Config, model: ModelIdentity) -> str:
    decision = config.decision
    least = f"{100 * decision.threshold:.0f} %"
    return (
        f"Model {model.name} {model.version}. A picture shows a hornet from {least} on."
        f" Clips are judged at {config.camera.rate_hz:g} frames a second; a visit starts when"
        f" {decision.votes} of {decision.out_of} frames agree."
    )
