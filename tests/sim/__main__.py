"""`make soak`: play any number of schedules, starting at any seed."""

import sys
import time

from tests.sim.schedule import run


def main() -> int:
    """Play the number of schedules in argv, starting at the seed in argv."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began = time.monotonic()
    executed = overlaps = failed = 0
    for seed in range(first, first + count):
        try:
            schedule = run(seed)
        except AssertionError as error:
            failed += 1
            print(error)
            continue
        executed += schedule.checker.executions
        overlaps += schedule.checker.overlaps
    seconds = time.monotonic() - began
    print(
        f"{count} schedules from seed {first}: {failed} failed; {executed} commands executed, "
        f"{overlaps} while an owner that was superseded still ran one; {seconds:.0f} s"
    )
    return 1 if failed else 0


sys.exit(main())
