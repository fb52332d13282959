"""The commands run, check, doctor, preview, bench and help. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from hivewatch.config.location import find_config
from hivewatch.domain.redaction import redact
from hivewatch.errors import ConfigError


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until a signal stops it."""
    from hivewatch.system.signals import catch_signals, exit_process

    signals = catch_signals()  # before the imports, which take seconds
    from hivewatch.daemon import app

    app.run(find_config(arguments.config), signals)
    exit_process()


def check(arguments: argparse.Namespace) -> int:
    """Print every mistake in the configuration, or that it is valid; load a model file that it names."""
    from hivewatch.config.reader import load

    try:
        path = find_config(arguments.config)
        config = load(path)
    except ConfigError as error:
        print(redact(str(error)))
        return error.exit_code
    if config.classifier.model is not None:
        from hivewatch.vision.classifier import load_configured

        load_configured(config.classifier)
    print(f"{path}: valid")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings, each as soon as it is made."""
    from hivewatch.doctor import document, examine, exit_code

    logging.getLogger("hivewatch").setLevel(logging.ERROR)  # the findings say what the warnings would
    findings = []
    for finding in examine(find_config(arguments.config)):
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

    run(find_config(arguments.config), signals.stop, arguments.address, arguments.token, print_url)
    exit_process()


def bench(arguments: argparse.Namespace) -> int:
    """Print how long every stage takes on this machine."""
    from hivewatch.bench.measure import measure
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config

    config = load(arguments.config, needs_camera=False) if arguments.config else Config()
    report = measure(config, frames=arguments.frames)
    print(json.dumps(report.document(), indent=2) if arguments.json else report.table())
    return 0


def help_on(arguments: argparse.Namespace) -> int:
    """Print the help of a command, the manual's paragraph on an option, or the whole manual."""
    topic = arguments.topic
    if topic in arguments.helps:
        arguments.helps[topic].print_help()
        return 0
    from hivewatch.config.manual import close_names, paragraphs, read_manual

    if topic == "manual":
        print(read_manual(), end="")
        return 0
    found = paragraphs(topic)
    if found:
        print("\n\n".join(found))
        return 0
    close = close_names(topic)
    advice = f"did you mean {', '.join(close)}?" if close else "`hivewatch help manual` prints every option"
    print(f"hivewatch help: {redact(topic)} is neither a command nor an option; {advice}", file=sys.stderr)
    return 2
