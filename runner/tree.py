"""The processes below this one, found through `/proc`, and how to end them all."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress


def descendants(pid: int) -> Iterator[int]:
    """Every process below `pid`, parents first. The list is old the moment it is made."""
    stack = [pid]
    while stack:
        children = _children(stack.pop())
        yield from children
        stack.extend(children)


def signal_all(pid: int, *signals: signal.Signals) -> int:
    """Send signals to everything below `pid`; returns how many processes there were."""
    found = list(descendants(pid))  # all of it first: it falls apart as its parents end
    for child in found:
        for number in signals:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, number)
    return len(found)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended meanwhile
    return found
