"""Wait for the world, never for the clock."""

import time
from collections.abc import Callable


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
