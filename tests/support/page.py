"""The blocks of docs/commands/queue.md, which people copy from and tests run."""

import re
from functools import cache
from pathlib import Path

from msgspec import Struct

PAGE = Path(__file__).parents[2] / "docs" / "commands" / "queue.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(Struct, frozen=True):
    """A fenced block: its language, empty where none is named, and its lines."""

    language: str
    text: str


@cache
def blocks() -> tuple[Block, ...]:
    """All that are written by hand, in their order."""
    text = PAGE.read_text().partition("\n## Reference\n")[0]
    return tuple(Block(*found) for found in _BLOCK.findall(text))


def scripts() -> tuple[str, ...]:
    """What is for a shell."""
    return tuple(block.text for block in blocks() if block.language == "bash")


def block(part: str) -> str:
    """The one block that has a text in it."""
    found = [each.text for each in blocks() if part in each.text]
    assert len(found) == 1, f"{len(found)} blocks have {part!r}"
    return found[0]


def command(part: str, *, after: int = 0) -> str:
    """The one line of a shell's block that has a text in it, or so many lines after that one."""
    texts = [text.splitlines() for text in scripts()]
    found = [lines[at + after] for lines in texts for at, line in enumerate(lines) if part in line]
    assert len(found) == 1, f"{len(found)} lines have {part!r}"
    return found[0]
