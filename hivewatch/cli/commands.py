"""The commands run, check, doctor, preview and bench. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import json
import logging

from hivewatch.errors import ConfigError


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until a signal stops it."""
    from hivewatch.system.signals import catch_signals, exit_process

    signals = catch_signals()  # before the imports, which take seconds
    from hivewatch.daemon import app

    app.run(arguments.config, signals)
    exit_process()


def check(arguments: argparse.Namespace) -> int:
    """Print every mistake in the configuration, or that it is valid; load a model file that it names."""
    from hivewatch.config.reader import load

    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error)
        return error.exit_code
    if config.classifier.model is not None:
        from hivewatch.vision.classifier import load_classifier

        load_classifier(config.classifier.model, config.classifier.threads)
    print(f"{arguments.config}: valid")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings, each as soon as it is made."""
    from hivewatch.doctor import document, examine, exit_code

    logging.getLogger("hivewatch").setLevel(logging.ERROR)  # the findings say what the warnings would
    findings = []
    for finding in examine(arguments.config):
        findings.append(finding)
        if not arguments.json:
            print(finding, flush=True)
    if arguments.json:
        print(json.dumps(document(findings), indent=2))
    return exit_code(findings)


def preview(arguments: argparse.Namespace) -> int:
    """Serve the preview page until a signal stops it."""
    from hivewatch.system.signals import catch_signals, exit_process

    signals = catch_signals()
    from hivewatch.preview.app import run

    def print_url(url: str) -> None:
        print(f"Open {url}\nStop with Ctrl-C.", flush=True)

    run(arguments.config, signals.stop, arguments.address, arguments.token, print_url)
    exit_process()


def bench(arguments: argparse.Namespace) -> int:
    """Print how long every stage takes on this machine."""
    from hivewatch.bench.measure import measure
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config

    config = load(arguments.config) if arguments.config else Config()
    report = measure(config, frames=arguments.frames)
    print(json.dumps(report.document(), indent=2) if arguments.json else report.table())
    return 0
