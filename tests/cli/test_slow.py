"""Who waits at a terminal is told so, once."""

import threading
from threading import Event

from spawn.cli.sources.slow import told_when_slow


def test_what_takes_long_is_said_while_it_does() -> None:
    said: list[str] = []
    spoken = Event()

    def say(text: str) -> None:
        said.append(text)
        spoken.set()

    with told_when_slow("it takes its time", say, seconds=0.0, watched=True):
        assert spoken.wait(30)
    assert said == ["it takes its time"]


def test_what_is_soon_over_is_not_mentioned() -> None:
    said: list[str] = []
    with told_when_slow("it takes its time", said.append, seconds=3600.0, watched=True):
        pass
    assert said == []


def test_nothing_is_said_where_nobody_sits() -> None:
    before = threading.enumerate()
    with told_when_slow("it takes its time", print, seconds=3600.0, watched=False):
        assert threading.enumerate() == before
