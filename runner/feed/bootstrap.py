"""Wire the feed together and run it until a signal stops it."""

import os
import signal
import sys
import traceback
from contextlib import suppress

from spawn.core.errors import SpawnError
from spawn.core.feed.address import port
from spawn.runner.feed.answer import Answers
from spawn.runner.feed.listen import HOST, AlreadyServed, listen
from spawn.runner.feed.serve import Server
from spawn.store.paths import roots


def main() -> int:
    """Serve in the foreground; return the exit code.

    0 after SIGTERM or SIGINT, and if a feed of the same folder is already running. A unit that
    should replace that feed later sets `Restart=always`.
    """
    try:
        here = roots(os.environ)
        listener = listen(port(os.environ), here)
    except AlreadyServed as served:
        _print(f"{served}.")
        return 0
    except SpawnError as error:
        _print(f"Error: {error}")
        if error.hint:
            _print(f"Hint: {error.hint}")
        return error.exit_code
    stop = _stop_descriptor()
    server = Server(listener, Answers(here), frozenset({0, os.getuid()}), _log_error)
    _print(f"Serving the queues of {here.state} on {HOST}:{listener.getsockname()[1]}.")
    with listener:
        server.run(stop)
    return 0


def _stop_descriptor() -> int:
    """Return a descriptor that becomes readable after SIGTERM or SIGINT."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return read


def _log_error(error: BaseException) -> None:
    _print("".join(traceback.format_exception(error)).rstrip())


def _print(text: str) -> None:
    with suppress(OSError):  # stderr may be closed
        print(text, file=sys.stderr, flush=True)
