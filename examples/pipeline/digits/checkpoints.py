"""A training run's saved states, so that a killed run goes on where it was."""

from pathlib import Path
from typing import Any, NamedTuple

from digits.files import read_json, write_json
from digits.problem import Problem


class Checkpoint(NamedTuple):
    """One saved state."""

    path: Path
    epoch: int
    content: dict[str, Any]


def save(folder: Path, epoch: int, content: dict[str, Any]) -> Path:
    """Write the state after `epoch`; a kill at any moment leaves no half-written checkpoint."""
    path = folder / f"epoch-{epoch:04}.json"
    write_json(path, {"epoch": epoch, **content}, indent=None)
    return path


def newest(folder: Path, last: int, run: dict[str, Any]) -> Checkpoint | None:
    """The newest whole checkpoint of the same run.

    Those that can't be used are named and passed over.

    Args:
        last: Checkpoints after this epoch are left alone.
        run: What identifies the run; a checkpoint must carry the same values.
    """
    for path in sorted(folder.glob("epoch-*.json"), reverse=True):
        try:
            content = read_json(path, "")
        except Problem:
            print(f"Passing over {path}: it is damaged")
            continue
        epoch = content.get("epoch")
        if not isinstance(epoch, int) or epoch > last:
            print(f"Passing over {path}: it is beyond epoch {last}")
        elif any(content.get(key) != value for key, value in run.items()):
            print(f"Passing over {path}: it is from other data or settings")
        else:
            return Checkpoint(path, epoch, content)
    return None


def clear(folder: Path) -> int:
    """Delete every checkpoint, and say how many there were."""
    paths = list(folder.glob("epoch-*.json*"))
    for path in paths:
        path.unlink()
    return len(paths)
