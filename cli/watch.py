"""`status --watch`: the status again and again, until the queue ends."""

import sys
import time
from collections.abc import Iterator

from spawn.cli.bootstrap import now
from spawn.cli.patience import Patience
from spawn.cli.render.as_json import compact
from spawn.cli.render.status import render
from spawn.cli.render.style import style_for
from spawn.cli.sources.queue import QueueSource
from spawn.core.report.model import Report


def watch(source: QueueSource, seconds: float, *, as_json: bool) -> None:
    """Show a queue's status every `seconds`, and once more when it has ended.

    On a terminal it is drawn over itself; elsewhere one status follows another, with `as_json`
    one compact object a line.
    """
    if as_json:
        for report in _reports(source, seconds):
            print(compact(report), flush=True)
    elif sys.stdout.isatty():
        from spawn.cli.live import LiveView

        with LiveView() as view:
            for report in _reports(source, seconds):
                view.show(report)
    else:
        style = style_for(sys.stdout)
        for index, report in enumerate(_reports(source, seconds)):
            if index:
                print()
            print("\n".join(render(report, None, style)), flush=True)


def _reports(source: QueueSource, seconds: float) -> Iterator[Report]:
    """A report every `seconds`; none while the store cannot be reached, which is borne with."""
    source.refresh()
    patience = Patience()
    while True:
        report = source.report(now())
        yield report
        if report.ended:
            return
        time.sleep(seconds)
        while not patience.refresh(source):
            time.sleep(seconds)
