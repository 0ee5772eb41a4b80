"""`status --watch`: the status again and again, until the queue ends."""

import sys
import time
from collections.abc import Iterator

from spawn.cli.bootstrap import now, say
from spawn.cli.patience import Patience
from spawn.cli.pause import RETRY_SECONDS, pause
from spawn.cli.render.as_json import compact
from spawn.cli.render.status import render
from spawn.cli.render.style import style_for
from spawn.cli.sources.queue import QueueSource
from spawn.cli.sources.slow import SLOW_SECONDS, told_when_slow
from spawn.core.report.model import Report

DRAW_SECONDS = 1.0
"""How soon news is drawn after what was drawn before."""


def watch(source: QueueSource, seconds: float, *, as_json: bool) -> None:
    """Show a queue's status every `seconds`, and once more when it has ended.

    On a terminal it is drawn over itself, and news of a source that can wait for it is drawn as it
    comes; elsewhere one status follows another, with `as_json` one compact object a line.
    """
    if as_json:
        for report in _reports(source, seconds):
            print(compact(report), flush=True)
    elif sys.stdout.isatty():
        from spawn.cli.live import LiveView

        with LiveView() as view:
            for report in _reports(source, seconds, at_once=True):
                view.show(report)
    else:
        style = style_for(sys.stdout)
        for index, report in enumerate(_reports(source, seconds)):
            if index:
                print()
            print("\n".join(render(report, None, style)), flush=True)


def _reports(source: QueueSource, seconds: float, *, at_once: bool = False) -> Iterator[Report]:
    """A report every `seconds`, and one of the end when it comes; none while the queue cannot be
    asked, which is borne with.

    Args:
        at_once: Whether any news is worth a report.
    """
    source.refresh()
    patience = Patience()
    while True:
        report = source.report(now())
        yield report
        if report.ended:
            return
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0:
            looked_at = time.monotonic()
            with told_when_slow(_late(source), say, seconds=left + SLOW_SECONDS):
                news = pause(source, left)
            if not news:
                continue
            time.sleep(max(0.0, looked_at + min(seconds, DRAW_SECONDS) - time.monotonic()))
            if not _refreshed(source, patience):
                time.sleep(min(seconds, RETRY_SECONDS))
            elif at_once or source.state.ended:
                break
        while not _refreshed(source, patience):
            time.sleep(min(seconds, RETRY_SECONDS))


def _refreshed(source: QueueSource, patience: Patience) -> bool:
    with told_when_slow(_late(source), say):
        return patience.refresh(source)


def _late(source: QueueSource) -> str:
    """That who is asked does not answer, for who looks at what was drawn before."""
    since = f"{now().astimezone():%H:%M:%S}"
    return f"Nothing was heard of queue {source.queue_id} since {since}; asking on"
