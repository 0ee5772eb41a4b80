"""The blocks of docs/commands/queue.md, which users copy and tests run."""

import re
from functools import cache
from pathlib import Path

from msgspec import Struct

PAGE = Path(__file__).parents[2] / "docs" / "commands" / "queue.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(Struct, frozen=True):
    """A fenced block: its language, or empty, and its lines."""

    language: str
    text: str


@cache
def blocks() -> tuple[Block, ...]:
    """Return all hand-written blocks in order."""
    text = PAGE.read_text().partition("\n## Reference\n")[0]
    return tuple(Block(*found) for found in _BLOCK.findall(text))


def scripts() -> tuple[str, ...]:
    """Return the blocks for a shell."""
    return tuple(block.text for block in blocks() if block.language == "bash")


def block(part: str) -> str:
    """Return the only block that contains a text."""
    found = [each.text for each in blocks() if part in each.text]
    assert len(found) == 1, f"{len(found)} blocks contain {part!r}"
    return found[0]


def command(part: str, *, after: int = 0) -> str:
    """Return the only line of a shell block with a text, or the one `after` lines later."""
    texts = [text.splitlines() for text in scripts()]
    found = [lines[at + after] for lines in texts for at, line in enumerate(lines) if part in line]
    assert len(found) == 1, f"{len(found)} lines contain {part!r}"
    return found[0]
