"""Spoils the clean images the way real files are spoilt; the same seed gives the same bytes."""

import argparse
import gzip
from collections import Counter
from pathlib import Path

from digits.cells import WORDS
from digits.chance import Chance
from digits.files import make_folder, read_bytes, write_json, write_whole
from digits.problem import Problem, run
from digits.shape import CLASSES, DEEPEST, PIXELS, RAW_HEADER

HERE = Path(__file__).parent
SEED = 1998
BLANKS = ("", "", "", "?", "NA", "nan")
STRAYS = ("l2", "O", "#REF!", "12px", "1o", "--", "seven")
WRONGS = ("-1", "-7", "23", "99", "255", "1204", "3.7")
NO_LABELS = ("", "?", "unknown")


def main() -> None:
    """Read the clean file, spoil it, write the raw file and the count of each fault."""
    args = arguments()
    make_folder(args.output)
    lines, counts = spoilt(clean_rows(args.clean), Chance(args.seed))
    write_whole(args.output / "digits_raw.csv", "".join(lines))
    write_json(args.output / "faults.json", counts)
    for kind, count in counts.items():
        print(f"{kind:<19}{count:>5}")
    print(f"Wrote {args.output / 'digits_raw.csv'}: {len(lines):,} lines")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, default=HERE / "data/digits.csv.gz")
    parser.add_argument("--output", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


def clean_rows(path: Path) -> list[list[str]]:
    """The rows of the clean file, 65 cells each."""
    packed = read_bytes(path, "give the clean file with --clean")
    try:
        text = gzip.decompress(packed).decode("ascii")
    except (EOFError, ValueError, OSError) as error:
        raise Problem(f"{path} is not gzipped text: {error}") from error
    rows = [line.split(",") for line in text.splitlines()]
    if len(rows) < 1000 or any(len(row) != len(RAW_HEADER) for row in rows):
        raise Problem(f"{path} is not 1,000 rows or more of {len(RAW_HEADER)} cells")
    return rows


def spoilt(rows: list[list[str]], chance: Chance) -> tuple[list[str], dict[str, int]]:
    """The lines of the raw file, endings included, and how many faults of each kind they carry.

    No row gets two faults, so that the counts are exact; only line endings fall anywhere.
    """
    counts: Counter[str] = Counter()
    untouched = chance.shuffled(rows[:-1])

    def some(count: int, kind: str) -> list[list[str]]:
        counts[kind] += count
        return [untouched.pop() for _ in range(count)]

    for row in some(38, "missing_cell"):
        row[chance.below(PIXELS)] = chance.one_of(BLANKS)
    for row in some(27, "stray_text_cell"):
        row[chance.below(PIXELS)] = chance.one_of(STRAYS)
    for row in some(22, "out_of_range_cell"):
        row[chance.below(PIXELS)] = chance.one_of(WRONGS)
    for row in some(16, "byte_scale_row"):
        row[:PIXELS] = [str(round(int(cell) * 255 / DEEPEST)) for cell in row[:PIXELS]]
    for row in some(11, "fraction_scale_row"):
        row[:PIXELS] = [str(int(cell) / DEEPEST) for cell in row[:PIXELS]]
    for row in some(4, "unreadable_row"):
        row[:PIXELS] = ["?"] * PIXELS
    for row in some(45, "label_spelling"):
        row[-1] = other_spelling(int(row[-1]), chance)
    for row in some(7, "label_missing"):
        row[-1] = chance.one_of(NO_LABELS)

    spoilt_rows = list(rows)
    for row in some(31, "duplicate_row"):
        spoilt_rows.insert(chance.below(len(spoilt_rows)), list(row))
    for row in some(5, "label_conflict"):
        other = (int(row[-1]) + 1 + chance.below(CLASSES - 1)) % CLASSES
        spoilt_rows.insert(chance.below(len(spoilt_rows)), [*row[:-1], str(other)])
    return as_lines(spoilt_rows, counts, chance), dict(counts)


def other_spelling(digit: int, chance: Chance) -> str:
    """The digit as another clerk would write it."""
    word = WORDS[digit]
    return chance.one_of(
        (word, word.title(), word.upper(), f" {digit}", f"{digit}.0", f"digit_{digit}", f"#{digit}")
    )


def as_lines(rows: list[list[str]], counts: Counter[str], chance: Chance) -> list[str]:
    """The rows as lines, with faults of whole lines: two kinds of endings, blanks, a cut."""
    header = ",".join(RAW_HEADER)
    lines = [",".join(row) for row in rows]
    for kind, count, line in (("repeated_header", 2, header), ("blank_line", 6, "")):
        counts[kind] = count
        for _ in range(count):
            lines.insert(chance.below(len(lines)), line)
    last = lines.pop()
    counts["broken_line"] = 1
    endings = ["\n"] * (len(lines) + 1)
    for _ in range(5):  # five stretches were once saved on another system
        start = chance.below(len(lines) - 40)
        endings[start : start + 40] = ["\r\n"] * 40
    counts["crlf_line"] = endings.count("\r\n")
    ended = [line + ending for line, ending in zip([header, *lines], endings, strict=True)]
    return [*ended, last[: len(last) // 2]]


if __name__ == "__main__":
    run(main)
