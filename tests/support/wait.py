"""Wait for the world, never for the clock."""

import time
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0, what: str = "") -> None:
    """Ask again and again until `condition` holds, ever less often: a long wait that asks all the
    time takes the time of what is waited for.

    Raises:
        AssertionError: It did not, in time.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(min(max(0.005, waited / 10), 0.1))


def elapsed(seconds: float) -> Callable[[], bool]:
    """A condition for `wait_until` that holds after so many seconds. For tests of what happens
    during a span of time, such as an outage."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def returns(call: Callable[[], T], *, seconds: float = 60.0) -> T:
    """Call a function that could hang, in a thread.

    Returns:
        What it returns.

    Raises:
        AssertionError: It still runs after `seconds`.
        BaseException: What it raises.
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
