"""Cleans the raw images: finds every fault, repairs or drops it, and splits what is left."""

import argparse
import json
from collections import Counter
from pathlib import Path

from digits.duplicates import unique
from digits.faults import Faults
from digits.files import make_folder, read_text, write_json, write_whole
from digits.neighbours import suspects
from digits.problem import Problem, run
from digits.rawfile import raw_lines
from digits.repair import repaired
from digits.split import dealt
from digits.table import FILE_NAME, SPLITS, Row, to_csv

HERE = Path(__file__).parent
FEWEST_ROWS = 100
"""With fewer rows left there is nothing to learn from."""


def main() -> None:
    """Read, clean, audit, split, write."""
    args = arguments()
    make_folder(args.output)
    faults = Faults()
    text = read_text(args.input, "give the raw file with --input, or make it with make_faults.py")
    print(f"Reading {args.input}: {len(text):,} characters")
    rows = clean(text, args.input, faults)
    print(faults.report())

    print(f"Comparing {len(rows):,} images with one another")
    doubtful = suspects(rows, args.neighbours, lambda done: show_progress(done, len(rows)))
    for suspect in doubtful:
        others = " ".join(map(str, suspect.neighbours))
        print(f"  Worth a look: line {suspect.line} says {suspect.digit}, its like say {others}")

    rows = dealt(rows)
    splits = Counter(row.split for row in rows)
    stats = {
        "source": args.input.name,
        "rows_kept": len(rows),
        "faults": faults.counts,
        "first_seen": faults.first_seen,
        "splits": {name: splits[name] for name in SPLITS},
        "digits": {str(k): n for k, n in sorted(Counter(row.digit for row in rows).items())},
        "suspects": [suspect._asdict() for suspect in doubtful],
    }
    write_whole(args.output / FILE_NAME, to_csv(rows))
    write_json(args.output / "stats.json", stats)
    print(f"Faults found: {sum(faults.counts.values())}, of {len(faults.first_seen)} kinds")
    print(f"Rows kept: {len(rows):,} ({json.dumps(stats['splits'])})")
    print(f"Wrote {args.output / FILE_NAME} and {args.output / 'stats.json'}")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=HERE / "data/digits_raw.csv")
    parser.add_argument("--output", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--neighbours", type=int, default=5, help="asked about each label (5)")
    return parser.parse_args()


def clean(text: str, path: Path, faults: Faults) -> list[Row]:
    """Every row that could be saved, once.

    Raises:
        Problem: The file isn't the raw file, or too little of it is left.
    """
    try:
        found = [repaired(line, faults) for line in raw_lines(text, faults)]
    except Problem as problem:
        raise Problem(f"{path}: {problem}") from problem
    rows = unique([row for row in found if row is not None], faults)
    if len(rows) < FEWEST_ROWS:
        raise Problem(f"{path}: only {len(rows)} usable rows, {FEWEST_ROWS} are needed")
    return rows


def show_progress(done: int, total: int) -> None:
    """A line now and then."""
    if done % 250 == 0 or done == total:
        print(f"  {done:,}/{total:,} images compared")


if __name__ == "__main__":
    run(main)
