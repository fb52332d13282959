"""Ctrl-C waits for changes that belong together, and is never lost."""

import signal
import threading

import pytest

from hivewatch.training.interrupt import uninterrupted


def test_an_interrupt_inside_the_block_arrives_at_its_end() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        steps.append("finished")
    assert steps == ["finished"]


def test_the_usual_handler_is_restored() -> None:
    usual = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is usual


def test_an_error_inside_the_block_is_not_hidden_by_an_interrupt() -> None:
    with pytest.raises(ValueError, match="broken"), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("broken")


def test_other_threads_may_use_it() -> None:
    done = threading.Event()

    def work() -> None:
        with uninterrupted():
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done.is_set()
