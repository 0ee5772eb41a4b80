"""The kinds of fault the raw file may have, and the tally of those that were found."""

REMEDIES = {
    "crlf_line": "line ending made plain",
    "blank_line": "dropped",
    "repeated_header": "dropped",
    "broken_line": "dropped: cut off, or too many cells",
    "label_missing": "dropped: nobody knows the digit",
    "label_spelling": "read as the digit it means",
    "unreadable_row": "dropped: most pixels are missing",
    "byte_scale_row": "0..255 brought to 0..16",
    "fraction_scale_row": "0..1 brought to 0..16",
    "missing_cell": "filled from the pixels around it",
    "stray_text_cell": "filled from the pixels around it",
    "out_of_range_cell": "filled from the pixels around it",
    "duplicate_row": "dropped but for the first",
    "label_conflict": "dropped: one image, two digits",
}
"""Each kind and what is done about it, in the order the cleaning meets them."""


class Faults:
    """Counts every fault by kind and remembers where each kind was first seen."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(REMEDIES, 0)
        self.first_seen: dict[str, str] = {}

    def note(self, kind: str, line: int, column: str = "") -> None:
        """Count one fault of `kind` at `line` of the raw file, counted from 1."""
        self.counts[kind] += 1
        self.first_seen.setdefault(kind, f"line {line}" + (f", {column}" if column else ""))

    def report(self) -> str:
        """A table of every kind: its count, what was done, where it was first seen."""
        lines = [f"{'Fault':<19}{'Count':>5}  {'What was done':<36}First seen"]
        lines += [
            f"{kind:<19}{self.counts[kind]:>5}  {remedy:<36}{self.first_seen.get(kind, '-')}"
            for kind, remedy in REMEDIES.items()
        ]
        return "\n".join(lines)
