"""`status --watch`: show the status repeatedly until the queue ends."""

import sys
import time
from collections.abc import Iterator

from spawn.cli.host import now, say
from spawn.cli.output.as_json import compact
from spawn.cli.output.status import render
from spawn.cli.output.style import style_for
from spawn.cli.sources.queue import QueueSource
from spawn.cli.sources.slow_notice import SLOW_SECONDS, notice_when_slow
from spawn.cli.support.outage_retry import RETRY_SECONDS, OutageRetry, wait_for_change
from spawn.core.reports.model import Report

DRAW_SECONDS = 1.0
"""Shortest time between two redraws for news."""


def watch(source: QueueSource, seconds: float, *, as_json: bool) -> None:
    """Show a queue's status every `seconds`, and once more when it has ended.

    On a terminal the status is redrawn in place, and changes are drawn at once if the source
    reports them. Otherwise each status is printed below the previous one: with `as_json`, one JSON
    object per line.
    """
    if as_json:
        for report in _reports(source, seconds):
            print(compact(report), flush=True)
    elif sys.stdout.isatty():
        from spawn.cli.support.live import LiveView

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
    """A report every `seconds`, and one when the queue ends; none during an outage.

    Args:
        at_once: Whether any change is worth a report.
    """
    source.refresh()
    retry = OutageRetry()
    while True:
        report = source.report(now())
        yield report
        if report.ended:
            return
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0:
            refreshed_at = time.monotonic()
            with notice_when_slow(_no_news_text(source), say, seconds=left + SLOW_SECONDS):
                changed = wait_for_change(source, left)
            if not changed:
                continue
            time.sleep(max(0.0, refreshed_at + min(seconds, DRAW_SECONDS) - time.monotonic()))
            if not _refresh(source, retry):
                time.sleep(min(seconds, RETRY_SECONDS))
            elif at_once or source.state.ended:
                break
        while not _refresh(source, retry):
            time.sleep(min(seconds, RETRY_SECONDS))


def _refresh(source: QueueSource, retry: OutageRetry) -> bool:
    with notice_when_slow(_no_news_text(source), say):
        return retry.refresh(source)


def _no_news_text(source: QueueSource) -> str:
    """The message for a user who is looking at an outdated status."""
    since = f"{now().astimezone():%H:%M:%S}"
    return f"No news of queue {source.queue_id} since {since}; still trying"
