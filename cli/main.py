"""`spawn`: where every run of the command line begins and ends."""

import os
import sys

from spawn.cli.render.errors import show
from spawn.core.errors import SpawnError

UNEXPECTED = 70


def main() -> None:
    """Run the command that argv names; never a traceback, unless `--debug` asks for it."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run a command and return its exit code."""
    from spawn.cli.app import app

    debug = "--debug" in argv or bool(os.environ.get("SPAWN_DEBUG"))
    try:
        code = app(
            args=[arg for arg in argv if arg != "--debug"],
            prog_name="spawn",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except SpawnError as error:
        if debug:
            raise
        show(error)
        return error.exit_code
    except BrokenPipeError:
        # Who read us has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _other(error, debug=debug)
    return code if isinstance(code, int) else 0


def _other(error: Exception, *, debug: bool) -> int:
    """Typer's own errors are shown its way; what is left is a fault of ours."""
    shows = getattr(error, "show", None)
    if shows is not None:
        shows()
        return int(getattr(error, "exit_code", 2))
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code
    if debug:
        raise error
    what = str(error) or type(error).__name__
    show(SpawnError("spawn met an error of its own", why=what, hint="`--debug` shows where"))
    return UNEXPECTED if not isinstance(error, OSError) else 1
