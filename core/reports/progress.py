"""Detect a job's progress in its output or its progress file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

from msgspec import Struct, structs

from spawn.core.domain.plan import is_stopping
from spawn.core.domain.state import QueueState

_UNITS = "epoch|step|iteration|iter|batch|round|fold|part|file|task|item"
_COUNTS = re.compile(
    rf"\b((?:{_UNITS})s?)\b\s*[:=#]?\s*[\[(]?\s*(\d{{1,12}})\s*(?:/|\s+of\s+)\s*(\d{{1,12}})\b"
    r"(?!\s?[/\d])",
    re.IGNORECASE,
)
_DRAWN = r"[#=>█▉▊▋▌▍▎▏━╸╺▓▒*-]"
_BAR = rf"[\[|](?=[^\]|]*{_DRAWN}|\s)[\s.\d]*{_DRAWN}*[\s.\d>]*[\]|]"
_PERCENT = r"(\d{1,3}(?:\.\d+)?)\s?%"
_WORK = (
    "download|upload|process|copy|copi|train|convert|extract|encod|decod|render|index|compress|"
    "import|export|load|read|writ|sort|build|compil|install|scann|analyz|comput|generat|transfer"
)
_TQDM = re.compile(r"(\d{1,3})%\|[^|]*\|\s*(\d+)/(\d+)\s*(?:\[|$)")
_KERAS = re.compile(rf"^\s*(\d+)/(\d+)\s+(?:\[[=>.]+\]|{_DRAWN}+)(?:\s|$)")
_GIT = re.compile(r"^(?:remote: )?([A-Z][a-z]+(?: [a-z]+)*):\s+\d{1,3}% \((\d+)/(\d+)\)")
_LINES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^[\[(]?\s*{_PERCENT}\s*[\])]?$",  # the percentage alone
        rf"^\[\s*{_PERCENT}\s*\]\s",  # cmake, ninja
        rf"\.py\s[.FEsxX\s]*\[\s*{_PERCENT}\]$",  # pytest
        rf"^progress\b\W*{_PERCENT}\W*(?:done|completed?|finished)?\W*$",  # apt and others
        rf"^(?:done|completed?|finished|(?:{_WORK})(?:ing|ed))\b\W*{_PERCENT}\W*"
        r"(?:done|completed?|finished)?\W*$",
        rf"^\W*{_PERCENT}\s+(?:done|completed?|finished)\b",
        rf"^\s*[\d.,]+[KMGTP]?\s+{_PERCENT}\s+[\d.,]+\s?[KMGT]?i?B/s\s",  # rsync
        rf"^\s*\d+[KMG]\s+[.\s,]*\s{_PERCENT}\s+[\d.,]+[KMG]?[\s=]",  # wget into a file
        rf"(?:^|\s){_PERCENT}\s?{_BAR}",  # wget on a terminal, progressbar
        rf"{_BAR}\s*{_PERCENT}(?:\s|$)",  # click
        rf"^#*\s*{_PERCENT}$",  # curl -#
    )
)


class Progress(Struct, frozen=True, kw_only=True):
    """Progress that a job reports.

    `fraction` is 0 to 1; `label` is the unit, such as `Epoch`, and may be empty.
    """

    fraction: float
    current: int | None = None
    total: int | None = None
    label: str = ""
    base: float = 0.0
    """The fraction that was already done when the attempt started, as in a resumed training. Equal
    to `fraction` while that is unknown."""

    @property
    def text(self) -> str:
        """Text for display: `Epoch 25/100 (25%)`."""
        percent = f"{int(self.fraction * 100)}%"
        if self.current is None:
            return f"{self.label} {percent}".strip()
        return f"{self.label} {self.current}/{self.total} ({percent})".strip()


def from_output(lines: Sequence[str]) -> Progress | None:
    """Find the newest progress in a job's output.

    Recognizes `Epoch 25/100`, `step 3 of 9`, the progress bars of tqdm, Keras, wget and others, the
    lines of rsync, git and cmake, and a line that is a percentage. An unfinished epoch takes
    precedence over a bar below it, because the bar restarts with each epoch.

    Args:
        lines: The last lines of the output, oldest first.
    """
    newest = None
    for line in reversed(lines):
        found = _from_line(line)
        if found is None:
            continue
        if _is_epoch(found):
            return found if newest is None or found.fraction < 1 else newest
        if newest is None:
            newest = found
        if found.label and found.label.lower() in _UNITS.split("|"):
            break
    return newest


def from_file(text: str) -> Progress | None:
    """Parse the content of `$SPAWN_PROGRESS_FILE`. The last line is `25/100 Epoch`, `25/100` or
    `25%`; earlier lines, if any, determine `base`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = _from_file_line(lines[-1]) if lines else None
    if found is None or len(lines) == 1:
        return found
    return with_base(found, filter(None, map(_from_file_line, lines)))


def with_base(progress: Progress, earlier: Iterable[Progress]) -> Progress:
    """Set `base` from the attempt's first two different progress values.

    Assumes that the first step is as large as the second: `Epoch 91/100` and `Epoch 92/100` mean
    that 90 were done before.

    Args:
        earlier: All progress of the attempt, oldest first, including `progress`.
    """
    first = None
    for each in earlier:
        if (each.label, each.total) != (progress.label, progress.total):
            continue
        if first is None:
            first = each.fraction
        elif each.fraction != first:
            return structs.replace(progress, base=max(0.0, 2 * first - each.fraction))
    begins = progress.current is not None and progress.current <= 1
    if first is None or begins or progress.fraction <= 0.01:
        return progress
    return structs.replace(progress, base=progress.fraction)


def all_in(lines: Iterable[str]) -> Iterable[Progress]:
    """Return all progress found in an output, oldest first."""
    return filter(None, map(_from_line, lines))


def _is_epoch(progress: Progress) -> bool:
    return progress.label.lower() in ("epoch", "epochs") and progress.total is not None


def _from_file_line(line: str) -> Progress | None:
    match = re.fullmatch(r"(\d{1,12})\s*/\s*(\d{1,12})(?:\s+(\S.*))?", line)
    if match:
        return _counted(int(match[1]), int(match[2]), (match[3] or "").strip()[:32])
    match = re.fullmatch(rf"{_PERCENT}(?:\s+(\S.*))?", line)
    if match:
        return _percent(float(match[1]), (match[2] or "").strip()[:32])
    return _from_line(line)


def _from_line(line: str) -> Progress | None:
    counts = _COUNTS.search(line)
    if counts:
        found = _counted(int(counts[2]), int(counts[3]), counts[1])
        if found is not None:
            return found
    bar = _TQDM.search(line)
    if bar:
        label = line[: bar.start()].strip(" :")[-32:]
        return _counted(int(bar[2]), int(bar[3]), label)
    bar = _KERAS.search(line)
    if bar:
        return _counted(int(bar[1]), int(bar[2]), "")
    objects = _GIT.search(line)
    if objects:
        return _counted(int(objects[2]), int(objects[3]), objects[1])
    for pattern in _LINES:
        percent = pattern.search(line.rstrip())
        if percent:
            return _percent(float(percent[1]), "")
    return None


def _counted(current: int, total: int, label: str) -> Progress | None:
    if not total > 0 or current > total:
        return None
    return Progress(fraction=current / total, current=current, total=total, label=label)


def _percent(value: float, label: str) -> Progress | None:
    return Progress(fraction=value / 100, label=label) if value <= 100 else None


def seconds_left(
    state: QueueState, remaining: Mapping[str, float]
) -> tuple[float | None, tuple[str, ...]]:
    """Simulate the rest of the queue with the expected duration of each job.

    Args:
        remaining: Seconds that each job still needs, by job id.

    Returns:
        Seconds to the end, and the jobs that are not included: those that have yet to start and
        are not in `remaining`. The seconds are None if a running job is not in `remaining`, if any
        job is not while none runs, or if the queue cannot complete.
    """
    if state.state not in ("running", "pending") or is_stopping(state) or state.counts["blocked"]:
        return None, ()
    open_jobs = [job for job in state.jobs.values() if job.state not in ("completed", "failed")]
    unknown = tuple(job.config.job_id for job in open_jobs if job.config.job_id not in remaining)
    if unknown and (not state.running or any(job_id in state.running for job_id in unknown)):
        return None, ()
    missing = {job.config.job_id: job.uncompleted_dependencies for job in open_jobs}
    busy: list[tuple[float, str]] = []
    ready: list[int] = []
    for job in open_jobs:
        job_id = job.config.job_id
        if job.state == "running":
            heappush(busy, (remaining[job_id], job_id))
        elif not missing[job_id]:
            heappush(ready, job.index)
    now = 0.0
    while busy or ready:
        while ready and len(busy) < state.config.max_parallel:
            job = state.job_at(heappop(ready))
            heappush(busy, (now + remaining.get(job.config.job_id, 0.0), job.config.job_id))
        now, done = heappop(busy)
        for job_id in state.dependents.get(done, ()):
            if job_id in missing:
                missing[job_id] -= 1
                if not missing[job_id] and state.jobs[job_id].state != "running":
                    heappush(ready, state.jobs[job_id].index)
    return now, unknown
