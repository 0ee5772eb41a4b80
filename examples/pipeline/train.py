"""Trains the network on the cleaned images, saving its state every 25 epochs."""

import argparse
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from digits import checkpoints
from digits.descent import Descent, Example, Settings, examine
from digits.files import make_folder, write_json
from digits.network import inputs_of
from digits.problem import Problem, run
from digits.table import Row, read_table


def main() -> None:
    """Read, resume or begin, learn, write."""
    args = arguments()
    make_folder(args.output / "checkpoints")
    started = monotonic()
    table = read_table(args.data)
    learning, checking = (examples(table.split(name)) for name in ("train", "validation"))
    descent = Descent(Settings())
    identity = {"data_sha256": table.sha256, "settings": asdict(descent.settings)}
    folder = args.output / "checkpoints"
    done, history = begin(args, folder, descent, identity)

    print(f"Training on {len(learning):,} images, checking on {len(checking):,}")
    for epoch in range(done + 1, args.epochs + 1):
        train_loss = descent.epoch(epoch, learning)
        val_loss, accuracy = examine(descent.network, checking)
        print(f"Epoch {epoch}/{args.epochs}")
        print(f"Train Loss: {train_loss:.3f}")
        print(f"Val Loss: {val_loss:.3f}")
        print(f"Accuracy: {accuracy:.1%}")
        history.append(
            {"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss, "accuracy": accuracy}
        )
        if epoch % args.every == 0:
            state = {**identity, **descent.state(), "history": history}
            print(f"Saved {checkpoints.save(folder, epoch, state)}")

    model = {**identity, "epochs": args.epochs, **descent.network.as_dict()}
    write_json(args.output / "model.json", model, indent=None)
    metrics = {
        **history[-1],
        "epochs": args.epochs,
        "best_epoch": min(history, key=lambda entry: entry["val_loss"])["epoch"],
        "resumed_from_epoch": done,
        "seconds": round(monotonic() - started, 1),
        "history": history,
    }
    write_json(args.output / "metrics.json", metrics)
    print(f"Wrote {args.output / 'model.json'} and {args.output / 'metrics.json'}")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--output", type=Path, default=Path("work"), help="folder (./work)")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--every", type=int, default=25, help="epochs between checkpoints (25)")
    parser.add_argument("--fresh", action="store_true", help="delete the checkpoints, begin anew")
    args = parser.parse_args()
    if args.epochs < 1 or args.every < 1:
        parser.error("--epochs and --every start at 1")
    return args


def begin(
    args: argparse.Namespace, folder: Path, descent: Descent, identity: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Put `descent` where its newest checkpoint was; the epochs done, and their history."""
    if args.fresh:
        print(f"Beginning anew: deleted {checkpoints.clear(folder)} checkpoints")
        return 0, []
    found = checkpoints.newest(folder, args.epochs, identity)
    if found is None:
        print("Beginning at epoch 1: no checkpoint to resume from")
        return 0, []
    descent.restore(found.content, str(found.path), "use --fresh")
    history = found.content.get("history") or []
    if len(history) != found.epoch:
        raise Problem(f"{found.path} lacks the history of its epochs; use --fresh")
    left = args.epochs - found.epoch
    print(f"Resumed from {found.path}: {found.epoch} epochs done, {left} left")
    return found.epoch, history


def examples(rows: list[Row]) -> list[Example]:
    """The rows as the network takes them."""
    return [(inputs_of(row.pixels), row.digit) for row in rows]


if __name__ == "__main__":
    run(main)
