"""Reading a file with a clear complaint, and writing one whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from digits.problem import Problem


def read_bytes(path: Path, hint: str) -> bytes:
    """The content of `path`.

    Args:
        hint: What to do when it isn't there.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}; {hint}") from error


def read_text(path: Path, hint: str) -> str:
    """The content of `path` as UTF-8, line endings untouched."""
    try:
        return read_bytes(path, hint).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not text: byte {error.start} is not UTF-8; {hint}") from error


def read_json(path: Path, hint: str) -> dict[str, Any]:
    """The JSON object in `path`."""
    try:
        value = json.loads(read_text(path, hint))
    except ValueError as error:
        raise Problem(f"{path} is not JSON ({error}); {hint}") from error
    if not isinstance(value, dict):
        raise Problem(f"{path} holds no JSON object; {hint}")
    return value


def make_folder(path: Path) -> None:
    """Make the folder for the results first, so that a wrong one is noticed before the work."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"cannot write into {path}: {error.strerror}; name another folder") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is there whole or, after a crash at any moment, as it was before.

    The new content goes to a file beside it, reaches the disk, and takes the name in one step.
    """
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: object, *, indent: int | None = 2) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=indent) + "\n")
