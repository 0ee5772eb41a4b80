"""Wait for conditions, never for a fixed time."""

import time
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0, what: str = "") -> None:
    """Poll `condition` until it holds, less and less often: frequent polling would slow down what
    it waits for.

    Raises:
        AssertionError: It did not hold in time.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(min(max(0.005, waited / 10), 0.1))


def elapsed(seconds: float) -> Callable[[], bool]:
    """Return a condition for `wait_until` that holds after a time, for tests of what happens during
    a period, such as an outage."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def call_with_timeout(call: Callable[[], T], *, seconds: float = 60.0) -> T:
    """Call a function that may hang, in a thread.

    Returns:
        What the function returns.

    Raises:
        AssertionError: It has not returned after `seconds`.
        BaseException: What the function raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it still runs after {seconds:g} s"
    if errors:
        raise errors[0]
    return results[0]
