"""Write the generated files: `make docs`. Tests fail if one is outdated."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.reference import crashes_page, events_page

from spawn.core.domain import generated as tables

ROOT = Path(__file__).parents[2]
QUEUE = ROOT / "docs" / "commands" / "queue.md"
REFERENCE = "## Reference\n"
"""The page is written by hand before this line, and generated after it."""


def generated() -> dict[Path, str]:
    """Return every generated file and its content."""
    return {
        ROOT / "core" / "domain" / "transition_tables.py": tables.moves_module(),
        ROOT / "docs" / "states.md": tables.states_page(),
        ROOT / "docs" / "events.md": events_page(),
        ROOT / "docs" / "crashes.md": crashes_page(),
        QUEUE: QUEUE.read_text().partition(REFERENCE)[0] + "\n".join(_commands()) + "\n",
    }


def _commands() -> Iterator[str]:
    """Return the reference of `spawn queue`, from its help texts."""
    import typer.main

    from spawn.cli.app import app

    os.environ["COLUMNS"] = "88"
    root = typer.main.get_command(app)
    queue = root.commands["queue"]  # type: ignore[attr-defined]
    yield REFERENCE
    yield "Written from the help texts by `make docs`."
    yield ""
    yield "| exit code | means |"
    yield "| --- | --- |"
    yield "| 0 | operation successful |"
    yield "| 1 | operation failed; `run`, `resume`: the queue failed |"
    yield "| 2 | invalid arguments or configuration |"
    yield "| 3 | queue not found |"
    yield "| 130, 143 | `run`, `resume`: by Ctrl-C; by SIGTERM, a spot notice or `--ttl` |"
    yield "| 70 | internal error; `run --or-resume`, `resume --from-s3`: the runner died |"
    yield "| 75 | `resume --from-s3` in the service of `spawn launch`: S3 cannot be reached |"
    for name, command in queue.commands.items():
        yield ""
        yield f"### {name}"
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
    yield "- [spawn launch](launch.md): start an instance that runs a queue"
    yield "- [spawn status](status.md): the instance; also list, connect, terminate"
    yield "- [Queue configurations](../queue-configs.md): the fields of FILE"
    yield "- [IAM policies](../iam-policies.md): the permissions you need"
    yield "- [Object stores](../object-stores.md): S3 servers other than AWS"


def main() -> None:
    """Write the files."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
