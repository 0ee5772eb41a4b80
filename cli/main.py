"""The `spawn` program: run a command and exit with its exit code."""

import gc
import os
import sys
import traceback

from spawn.cli.fast_path import run_without_typer
from spawn.cli.output.style import style_for
from spawn.cli.support.stdout import discard_stdout
from spawn.core.errors import InvalidConfig, SpawnError

EXIT_INTERNAL_ERROR = 70
"""Exit code of an unexpected exception."""


def main() -> None:
    """Run the command that argv names."""
    gc.set_threshold(100_000)  # imports and replays make no cycles; collecting takes 5 %
    _ensure_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)  # skip the interpreter's teardown, which is slow


def run(argv: list[str]) -> int:
    """Run a command and return its exit code; prints a traceback only with `--debug`."""
    debug = "--debug" in argv or bool(os.environ.get("SPAWN_DEBUG"))
    try:
        return _run([arg for arg in argv if arg != "--debug"])
    except BrokenPipeError:
        discard_stdout()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _report_error(error)


def _run(argv: list[str]) -> int:
    if run_without_typer(argv):
        sys.stdout.flush()
        return 0
    from spawn.cli.app import app

    try:
        code = app(args=argv, prog_name="spawn", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer turns it into exit code 1
            raise end.__context__ from None
        code = end.code
    return code if isinstance(code, int) else 0


def _report_error(error: Exception) -> int:
    """Print an error and return its exit code."""
    shows = getattr(error, "show", None)
    code = getattr(error, "exit_code", None)
    if isinstance(error, SpawnError):
        show(error)
        return error.exit_code
    if shows is not None:  # a usage error of typer
        shows()
        return code if isinstance(code, int) else 2
    if isinstance(code, int):  # typer.Exit
        return code
    if isinstance(error, OSError):
        show(SpawnError(error.strerror or str(error), why=error.filename or ""))
        return 1
    why = f"{type(error).__name__}: {error}"
    show(SpawnError("internal error", why=why, hint="`--debug` shows the traceback"))
    return EXIT_INTERNAL_ERROR


def _ensure_streams() -> None:
    """Replace closed streams, and let no stream fail on characters that it cannot encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, it stays open
        else:
            stream.reconfigure(errors="replace")


def show(error: SpawnError) -> None:
    """Write an error to stderr. Its text may quote untrusted input."""
    from spawn.core.values.text import printable

    style = style_for(sys.stderr)
    lines = [f"{style('failed', 'Error:')} {printable(str(error))}"]
    if isinstance(error, InvalidConfig):
        lines += [f"  {printable(str(problem))}" for problem in error.problems]
    if error.hint:
        lines.append(f"{style('dim', 'Hint:')} {printable(error.hint)}")
    print("\n".join(lines), file=sys.stderr)
