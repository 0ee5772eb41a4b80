"""Write the files that are derived from others: `make docs`. Tests fail while one is stale."""

import os
from collections.abc import Iterator
from pathlib import Path

from spawn.core import derive

ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    """Every derived file and what it must say."""
    return {
        ROOT / "core" / "moves.py": derive.moves_module(),
        ROOT / "docs" / "states.md": derive.states_page(),
        ROOT / "docs" / "commands" / "queue.md": "\n".join(_commands()) + "\n",
    }


def _commands() -> Iterator[str]:
    """The reference of `spawn queue`, from its own help texts."""
    import typer.main

    from spawn.cli.app import app

    os.environ["COLUMNS"] = "88"
    root = typer.main.get_command(app)
    queue = root.commands["queue"]  # type: ignore[attr-defined]
    yield "# spawn queue"
    yield ""
    yield "Generated from the help texts by `make docs`. Targets: `local`, the queue that runs on"
    yield "this machine, else its newest; a queue's id; or an instance's, which is asked over SSH."
    yield "A queue that is not on this machine, or whose instance does not answer, is read from"
    yield "its copy in S3, in the bucket that a flag names, that was remembered, or that is the"
    yield "region's."
    yield ""
    yield "| exit code | means |"
    yield "| --- | --- |"
    yield "| 0 | operation successful |"
    yield "| 1 | operation failed; of `run`: the queue failed |"
    yield "| 2 | invalid arguments or configuration |"
    yield "| 3 | queue not found |"
    yield "| 130, 143 | of `run`: interrupted by Ctrl-C, by SIGTERM |"
    for name, command in queue.commands.items():
        yield ""
        yield f"## {name}"
        yield ""
        yield "```"
        with command.make_context(
            name, [], parent=None, resilient_parsing=True, terminal_width=88
        ) as context:
            text = command.get_help(context)
        yield text.replace(f"Usage: {name}", f"Usage: spawn queue {name}").rstrip()
        yield "```"
    yield ""
    yield "## See also"
    yield ""
    yield "- [spawn status](status.md): the instance itself; list, connect, terminate"
    yield "- [Queue configurations](../queue-configs.md): the fields of FILE"
    yield "- [IAM policies](../iam-policies.md): the rights that it takes in S3"
    yield "- [Object stores](../object-stores.md): which servers other than AWS will do"


def main() -> None:
    """Write them."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
