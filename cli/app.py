"""The command tree. Each command has its own module and imports what it needs when it runs."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from spawn import __version__
from spawn.cli.commands.cancel import cancel
from spawn.cli.commands.connect import connect
from spawn.cli.commands.feed import feed
from spawn.cli.commands.history import history
from spawn.cli.commands.instance_status import instance_status
from spawn.cli.commands.launch import launch
from spawn.cli.commands.list_ import list_queues
from spawn.cli.commands.list_instances import list_instances
from spawn.cli.commands.logs import logs
from spawn.cli.commands.report import report
from spawn.cli.commands.results import results
from spawn.cli.commands.resume import resume
from spawn.cli.commands.run import run
from spawn.cli.commands.schema import schema
from spawn.cli.commands.status import status
from spawn.cli.commands.terminate import terminate
from spawn.cli.commands.validate import validate
from spawn.cli.commands.verify import verify
from spawn.cli.commands.wait import wait
from spawn.cli.commands.why import why

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_NAME_COLUMNS = 30
"""Width of the first column of a help text; longer names have a line of their own."""


class Command(TyperCommand):
    """A command whose help keeps the lines of its examples and shows its options in groups."""

    def __init__(self, **settings: Any) -> None:
        # A paragraph that starts with "\b" is not wrapped.
        settings["help"] = settings["help"].replace("\nExamples:\n", "\n\b\nExamples:\n")
        super().__init__(**settings)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by their `rich_help_panel`, in aligned columns."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                group = getattr(param, "rich_help_panel", None) or default
                groups.setdefault(group, []).append(record)
        longest = max(len(names) for records in groups.values() for names, _ in records)
        width = min(longest, _NAME_COLUMNS)
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl([(names.ljust(width), text) for names, text in records])


app = typer.Typer(
    name="spawn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
queue = typer.Typer(
    name="queue",
    help="Run, monitor and audit batch job queues.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
app.add_typer(queue)


def _add(group: typer.Typer, function: Callable[..., None], name: str | None = None) -> None:
    group.command(name, cls=Command)(function)


_add(app, launch)
_add(app, list_instances, "list")
_add(app, instance_status, "status")
_add(app, connect)
_add(app, terminate)

_add(queue, run)
_add(queue, resume)
_add(queue, cancel)
_add(queue, status)
_add(queue, wait)
_add(queue, logs)
_add(queue, results)
_add(queue, why)
_add(queue, history)
_add(queue, report)
_add(queue, list_queues, "list")
_add(queue, verify)
_add(queue, validate)
_add(queue, schema)
_add(queue, feed)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spawn {__version__}")
        raise typer.Exit


@app.callback()
def spawn(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Run batch job queues that survive crashes, here or on EC2 instances."""
