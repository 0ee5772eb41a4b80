"""An error as a person reads it: what happened, why, what to do."""

import sys

from spawn.cli.render.style import style_for
from spawn.core.errors import InvalidConfig, SpawnError


def show(error: SpawnError) -> None:
    """Write an error to stderr."""
    style = style_for(sys.stderr)
    lines = [f"{style('failed', 'Error:')} {error}"]
    if isinstance(error, InvalidConfig):
        lines += [f"  {problem}" for problem in error.problems]
    if error.hint:
        lines.append(f"{style('dim', 'Hint:')} {error.hint}")
    print("\n".join(lines), file=sys.stderr)
