"""How far a job says that it is, read from what it writes."""

import re

from msgspec import Struct

_COUNTS = re.compile(
    r"(?:(\b[A-Za-z][A-Za-z ]{0,30}?)\s+)?\b(\d{1,12})\s*(?:/|\s+of\s+)\s*(\d{1,12})\b"
)
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s?%")
_WORDS = re.compile(
    r"\b(epoch|step|iteration|iter|batch|round|fold|part|file|task|item)s?\b", re.IGNORECASE
)
_BAR = re.compile(r"(\d{1,3})%\|.*?\|\s*(\d+)/(\d+)")


class Progress(Struct, frozen=True, kw_only=True):
    """A job's own word on how far it is.

    `fraction` is 0 to 1; `label` is what it counts, such as `Epoch`, and may be empty.
    """

    fraction: float
    current: int | None = None
    total: int | None = None
    label: str = ""

    @property
    def text(self) -> str:
        """As a person reads it: `Epoch 25/100 (25%)`."""
        percent = f"{int(self.fraction * 100)}%"
        if self.current is None:
            return f"{self.label} {percent}".strip()
        return f"{self.label} {self.current}/{self.total} ({percent})".strip()


def from_output(lines: tuple[str, ...] | list[str]) -> Progress | None:
    """Find the newest progress in a job's output.

    Taken: `Epoch 25/100`, `step 3 of 9`, a bar of tqdm, and a line that says `42%` and little else.

    Args:
        lines: The end of the output, oldest first.
    """
    for line in reversed(lines):
        found = _from_line(line)
        if found is not None:
            return found
    return None


def from_file(text: str) -> Progress | None:
    """Read `$SPAWN_PROGRESS_FILE`: its last line is `25/100 Epoch`, `25/100` or `25%`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    line = lines[-1]
    match = re.fullmatch(r"(\d{1,12})\s*/\s*(\d{1,12})(?:\s+(\S.*))?", line)
    if match:
        return _counted(int(match[1]), int(match[2]), (match[3] or "").strip()[:32])
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s?%(?:\s+(\S.*))?", line)
    if match:
        return _percent(float(match[1]), (match[2] or "").strip()[:32])
    return _from_line(line)


def _from_line(line: str) -> Progress | None:
    bar = _BAR.search(line)
    if bar:
        label = line[: bar.start()].strip(" :")[-32:]
        return _counted(int(bar[2]), int(bar[3]), label)
    for match in _COUNTS.finditer(line):
        words = (match[1] or "").split()
        if words and _WORDS.fullmatch(words[-1]):
            return _counted(int(match[2]), int(match[3]), words[-1])
    percent = _PERCENT.search(line)
    if percent is None:
        return None
    rest = line[: percent.start()] + line[percent.end() :]
    talk = re.sub(r"[\W\d_]", "", rest).lower()
    if len(talk) > 12 or "acc" in talk:  # a sentence, or a score
        return None
    return _percent(float(percent[1]), "")


def _counted(current: int, total: int, label: str) -> Progress | None:
    if not total > 0 or current > total:
        return None
    return Progress(fraction=current / total, current=current, total=total, label=label)


def _percent(value: float, label: str) -> Progress | None:
    return Progress(fraction=value / 100, label=label) if value <= 100 else None
