"""The tree of commands. Each stands in a file of its own and imports what it needs when it runs."""

from typing import Annotated

import typer

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
    help="Run, watch and audit batch job queues.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
app.add_typer(queue)
app.command()(launch)
app.command("list")(list_instances)
app.command("status")(instance_status)
app.command()(connect)
app.command()(terminate)

queue.command()(run)
queue.command()(resume)
queue.command()(cancel)
queue.command()(status)
queue.command()(wait)
queue.command()(logs)
queue.command()(results)
queue.command()(why)
queue.command()(history)
queue.command()(report)
queue.command("list")(list_queues)
queue.command()(verify)
queue.command()(validate)
queue.command()(schema)
queue.command()(feed)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spawn {__version__}")
        raise typer.Exit


@app.callback()
def spawn(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Runs batch job queues and never loses track of them."""
