"""Print an error: what happened, why, what to do."""

import sys

from spawn.cli.render.style import style_for
from spawn.core.errors import InvalidConfig, SpawnError


def show(error: SpawnError) -> None:
    """Write an error to stderr. Its text may quote untrusted input."""
    from spawn.cli.render.text import printable

    style = style_for(sys.stderr)
    lines = [f"{style('failed', 'Error:')} {printable(str(error))}"]
    if isinstance(error, InvalidConfig):
        lines += [f"  {printable(str(problem))}" for problem in error.problems]
    if error.hint:
        lines.append(f"{style('dim', 'Hint:')} {printable(error.hint)}")
    print("\n".join(lines), file=sys.stderr)
