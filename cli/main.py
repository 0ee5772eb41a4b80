"""`spawn`: where every run of the command line begins and ends."""

import gc
import os
import sys
import traceback

from spawn.cli.render.errors import show
from spawn.core.errors import SpawnError

UNEXPECTED = 70
"""Exit code of an error that is ours."""


def main() -> None:
    """Run the command that argv names."""
    gc.set_threshold(100_000)  # imports and replays make no garbage; looking for it takes 5 %
    _have_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)  # nothing is left to do, and taking the interpreter apart takes its time


def run(argv: list[str]) -> int:
    """Run a command and return its exit code; never a traceback, unless `--debug` asks for it."""
    debug = "--debug" in argv or bool(os.environ.get("SPAWN_DEBUG"))
    try:
        return _run([arg for arg in argv if arg != "--debug"])
    except BrokenPipeError:
        mute()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error)


def _run(argv: list[str]) -> int:
    from spawn.cli.app import app

    try:
        code = app(args=argv, prog_name="spawn", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer's answer to it is to exit with 1
            raise end.__context__ from None
        code = end.code
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """Say what went wrong, and return the exit code that goes with it."""
    shows = getattr(error, "show", None)
    code = getattr(error, "exit_code", None)
    if isinstance(error, SpawnError):
        show(error)
        return error.exit_code
    if shows is not None:  # an error of usage, which typer words
        shows()
        return code if isinstance(code, int) else 2
    if isinstance(code, int):  # typer.Exit
        return code
    if isinstance(error, OSError):
        show(SpawnError(error.strerror or str(error), why=error.filename or ""))
        return 1
    why = f"{type(error).__name__}: {error}"
    show(SpawnError("spawn met an error of its own", why=why, hint="`--debug` shows where"))
    return UNEXPECTED


def _have_streams() -> None:
    """A closed or narrow stream is no reason to fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, it stays open
        else:
            stream.reconfigure(errors="replace")


def mute() -> None:
    """Who read us has seen enough; what is still buffered goes nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
