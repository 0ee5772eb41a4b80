"""Finds and signals a process's descendants, by `/proc`."""

import os
import signal
from collections.abc import Iterator


def descendants(pid: int) -> Iterator[int]:
    """Yield all descendants of `pid`, parents first. The tree may change meanwhile."""
    stack = [pid]
    while stack:
        children = _children(stack.pop())
        yield from children
        stack.extend(children)


def signal_all(pid: int, *signals: signal.Signals) -> tuple[list[int], list[int]]:
    """Send signals to all descendants of `pid`.

    Returns:
        The pids that were signalled, and those that belong to another user, which were not.
    """
    found = list(descendants(pid))  # complete before the first signal: orphans leave the tree
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
    """Whether a process exists and is not a zombie. Source: proc(5)."""
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
        pass  # the process has ended
    return found
