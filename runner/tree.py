"""The processes below this one, found through `/proc`, and how to end them all."""

import os
import signal
from collections.abc import Iterator


def descendants(pid: int) -> Iterator[int]:
    """Every process below `pid`, parents first. The list is old the moment it is made."""
    stack = [pid]
    while stack:
        children = _children(stack.pop())
        yield from children
        stack.extend(children)


def signal_all(pid: int, *signals: signal.Signals) -> tuple[list[int], list[int]]:
    """Send signals to everything below `pid`.

    Returns:
        The processes that got them, and those that did not because they are another user's.
    """
    found = list(descendants(pid))  # all of it first: it falls apart as its parents end
    refused = []
    for child in found:
        for number in signals:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                break
            except PermissionError:
                refused.append(child)
                break
    if not refused:
        return found, []
    return [child for child in found if child not in refused], list(filter(is_alive, refused))


def is_alive(pid: int) -> bool:
    """Whether a process is there, and does not just wait to be reaped. Source: proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended meanwhile
    return found
