"""A command that takes long prints one message on a terminal."""

import threading
from threading import Event

from spawn.cli.sources.slow_notice import notice_when_slow


def test_a_slow_call_is_reported_while_it_runs() -> None:
    said: list[str] = []
    spoken = Event()

    def say(text: str) -> None:
        said.append(text)
        spoken.set()

    with notice_when_slow("it takes its time", say, seconds=0.0, watched=True):
        assert spoken.wait(30)
    assert said == ["it takes its time"]


def test_a_fast_call_is_not_reported() -> None:
    said: list[str] = []
    with notice_when_slow("it takes its time", said.append, seconds=3600.0, watched=True):
        pass
    assert said == []


def test_nothing_is_reported_without_a_terminal() -> None:
    before = threading.enumerate()
    with notice_when_slow("it takes its time", print, seconds=3600.0, watched=False):
        assert threading.enumerate() == before
