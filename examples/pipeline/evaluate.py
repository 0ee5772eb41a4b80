"""Tries the trained network on images it has never seen, and draws its confusion matrix."""

import argparse
from pathlib import Path

from digits.chance import Chance
from digits.files import make_folder, write_json, write_whole
from digits.heatmap import Figure, Image, drawn
from digits.importance import as_picture, importance
from digits.model import read_model
from digits.network import inputs_of
from digits.png import encoded
from digits.problem import run
from digits.scores import Counts, confusion, confusions, interval, per_class
from digits.shape import CLASSES, PIXELS, SIDE
from digits.table import Row, read_table

SEED = 1


def main() -> None:
    """Read, predict, score, draw, write."""
    args = arguments()
    make_folder(args.output)
    table = read_table(args.data)
    network = read_model(args.model, table)
    rows = table.split("test")
    examples = [(inputs_of(row.pixels), row.digit) for row in rows]
    print(f"Evaluating {args.model} on {len(rows)} test images")
    predicted = [network.predict(inputs) for inputs, _ in examples]
    right = [guess == row.digit for guess, row in zip(predicted, rows, strict=True)]
    low, high = interval(right, Chance(SEED))
    counts = confusion([row.digit for row in rows], predicted)
    show_scores(counts)
    print(f"Accuracy: {sum(right) / len(right):.1%} (95% interval {low:.1%} to {high:.1%})")

    print(f"Dealing each of {PIXELS} pixels anew among the images, {args.repeats} times")
    losses = importance(network, examples, Chance(SEED), args.repeats, show_progress)
    print(f"Where the network looks:\n{as_picture(losses)}")

    results = {
        "accuracy": sum(right) / len(right),
        "accuracy_interval": [low, high],
        "test_images": len(rows),
        "per_class": per_class(counts),
        "confusion": counts,
        "wrong_lines": [row.line for row, good in zip(rows, right, strict=True) if not good],
        "pixel_importance": [losses[at : at + SIDE] for at in range(0, PIXELS, SIDE)],
    }
    write_json(args.output / "eval_results.json", results)
    means = [mean_image(digit, table.rows) for digit in range(CLASSES)]
    picture = encoded(drawn(Figure(counts, means, low, high)))
    write_whole(args.output / "confusion_matrix.png", picture)
    print(f"Wrote {args.output / 'eval_results.json'} and {args.output / 'confusion_matrix.png'}")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("work/model.json"))
    parser.add_argument("--data", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--output", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--repeats", type=int, default=3, help="deals of each pixel (3)")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats starts at 1")
    return args


def show_scores(counts: Counts) -> None:
    """A line for each digit, and the most frequent mistakes."""
    print("Digit  Precision  Recall    F1  Images")
    for digit, score in per_class(counts).items():
        print(
            f"{digit:>5}{score['precision']:>11.1%}{score['recall']:>8.1%}"
            f"{score['f1']:>6.2f}{score['images']:>8}"
        )
    for count, actual, guess in confusions(counts)[:3]:
        print(f"Took {actual} for {guess}: {count} times")


def mean_image(digit: int, rows: list[Row]) -> Image:
    """What the digit looks like on the average."""
    images = [row.pixels for row in rows if row.digit == digit]
    return [sum(depths) / len(images) for depths in zip(*images, strict=True)]


def show_progress(done: int) -> None:
    """A line now and then."""
    if done % 16 == 0:
        print(f"  {done}/{PIXELS} pixels")


if __name__ == "__main__":
    run(main)
