"""How a program fails: one clear line on stderr and exit code 1."""

import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path


class Problem(Exception):
    """Something that the person who runs the program can put right."""


def run(main: Callable[[], None]) -> None:
    """Run `main`, show each line as it is printed, and end with its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        main()
    except Problem as problem:
        fail(str(problem))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        fail("interrupted")


def fail(message: str) -> None:
    """Print `message` under the program's name and exit."""
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr)
    sys.exit(1)
