"""Wire the feed together, and run it until it is told to stop."""

import os
import signal
import sys
import traceback
from contextlib import suppress

from spawn.core.errors import SpawnError
from spawn.core.feed.address import port
from spawn.runner.feed.answer import Answers
from spawn.runner.feed.listen import HOST, Served, listen
from spawn.runner.feed.serve import Server
from spawn.store.paths import roots


def main() -> int:
    """Serve in the foreground; returns the exit code.

    0 after SIGTERM or SIGINT, and where such a feed is there already: what was asked for is the
    case. A unit that is to take over from that one says `Restart=always`.
    """
    try:
        here = roots(os.environ)
        listener = listen(port(os.environ), here)
    except Served as served:
        _say(f"{served}.")
        return 0
    except SpawnError as error:
        _say(f"Error: {error}")
        if error.hint:
            _say(f"Hint: {error.hint}")
        return error.exit_code
    stop = _stop()
    server = Server(listener, Answers(here), frozenset({0, os.getuid()}), _complain)
    _say(f"Serving the queues of {here.state} on {HOST}:{listener.getsockname()[1]}.")
    with listener:
        server.run(stop)
    return 0


def _stop() -> int:
    """A descriptor that can be read once somebody asks us to stop."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return read


def _complain(error: BaseException) -> None:
    _say("".join(traceback.format_exception(error)).rstrip())


def _say(text: str) -> None:
    with suppress(OSError):  # nobody reads it
        print(text, file=sys.stderr, flush=True)
