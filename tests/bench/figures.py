"""Measured figures and the page that shows them."""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the page: name, value, and claim."""

    what: str
    found: str
    claim: str
    holds: bool
    how: str
    more: tuple[str, ...] = ()
    """Lines of an extra section below the table."""


def alternate(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Time two calls in turn, so that load on the machine affects both.

    Returns:
        The median of each, in seconds.
    """
    times: tuple[list[float], list[float]] = ([], [])
    first()
    second()
    for _ in range(rounds):
        for thing, kept in zip((first, second), times, strict=True):
            began = time.perf_counter()
            thing()
            kept.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def _start() -> float:
    """Return the run time of an empty program in ms, as a measure of the machine's speed."""
    empty = [sys.executable, "-c", "pass"]
    return alternate(lambda: subprocess.run(empty, check=True), lambda: None, 15)[0] * 1e3


def page(figures: Iterable[Figure]) -> str:
    """Return the text of `docs/benchmarks.md`."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each ratio is of two things timed in turn in the same run.",
        "",
        f"Machine: {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}; `python -c pass` takes {_start():.0f} ms.",
        "",
        "| what | measured | claim | holds |",
        "| --- | --- | --- | --- |",
    ]
    figures = list(figures)
    for figure in figures:
        mark = "yes" if figure.holds else "**no**"
        lines.append(f"| {figure.what} | {figure.found} | {figure.claim} | {mark} |")
    lines += ["", "How:", ""]
    lines += [f"- {figure.what}: {figure.how}" for figure in figures]
    for figure in figures:
        if figure.more:
            lines += ["", *figure.more]
    return "\n".join(lines) + "\n"
