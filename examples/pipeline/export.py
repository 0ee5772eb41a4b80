"""Writes the trained network as one Python file that needs nothing else, and tries it out."""

import argparse
import subprocess
import sys
from pathlib import Path
from time import monotonic

from digits.files import make_folder, write_whole
from digits.model import read_model
from digits.network import Network, inputs_of
from digits.problem import Problem, run
from digits.shape import DEEPEST
from digits.shifts import Pixels, shifted
from digits.standalone import program
from digits.table import Row, read_table

MOST_DECIMALS = 12


def main() -> None:
    """Read, round as far as the predictions bear it, write, check."""
    args = arguments()
    make_folder(args.output.parent)
    table = read_table(args.data)
    network = read_model(args.model, table)
    tests = [row.pixels for row in table.split("test")]
    expected = predictions(network, tests)
    trial = args.output.with_name(args.output.name + ".trial")
    try:
        decimals = fewest_decimals(network, tests, expected, trial, args.output.name)
        check_moved(network, table.rows[: args.moved], trial)
    finally:
        trial.unlink(missing_ok=True)
    text = program(network, decimals, args.output.name, DEEPEST)
    write_whole(args.output, text)
    print(f"Self check: all {len(tests)} test images get the digit that {args.model} gives them")
    print(f"Wrote {args.output}: {len(text.encode()):,} bytes, weights rounded to 1e-{decimals}")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("work/model.json"))
    parser.add_argument("--data", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--output", type=Path, default=Path("work/model_export.py"))
    parser.add_argument("--moved", type=int, default=2000, help="images also tried moved (2000)")
    args = parser.parse_args()
    if args.moved < 1:
        parser.error("--moved starts at 1")
    return args


def fewest_decimals(
    network: Network, images: list[Pixels], expected: list[int], trial: Path, name: str
) -> int:
    """How many decimals the weights need for every prediction to stay; leaves that file at `trial`.

    Raises:
        Problem: Even many decimals don't keep them.
    """
    for decimals in range(1, MOST_DECIMALS + 1):
        write_whole(trial, program(network, decimals, name, DEEPEST))
        other = differing(expected, answers(trial, images))
        print(f"Weights rounded to 1e-{decimals}: {other} of {len(images)} predictions differ")
        if not other:
            return decimals
    raise Problem(f"the exported file disagrees with the model even at {MOST_DECIMALS} decimals")


def check_moved(network: Network, rows: list[Row], trial: Path) -> None:
    """Say how often the file agrees with the model on images that it was never fitted to."""
    images = [moved for row in rows for moved in shifted(row.pixels)]
    expected = predictions(network, images)
    started = monotonic()
    other = differing(expected, answers(trial, images))
    rate = len(images) / (monotonic() - started)
    print(
        f"{len(rows):,} images moved by a pixel each way: "
        f"{len(images) - other:,} of {len(images):,} agree ({rate:,.0f} predictions a second)"
    )


def predictions(network: Network, images: list[Pixels]) -> list[int]:
    """What the model itself says."""
    return [network.predict(inputs_of(pixels)) for pixels in images]


def answers(path: Path, images: list[Pixels]) -> list[int]:
    """What the exported file says, run by an interpreter that can see no other module of ours.

    Raises:
        Problem: It fails.
    """
    lines = "".join(" ".join(map(str, pixels)) + "\n" for pixels in images)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(path)],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Problem(f"the exported file fails: {done.stderr.strip().splitlines()[-1]}")
    return [int(line) for line in done.stdout.split()]


def differing(expected: list[int], found: list[int]) -> int:
    """In how many places the two differ."""
    return sum(a != b for a, b in zip(expected, found, strict=True))


if __name__ == "__main__":
    run(main)
