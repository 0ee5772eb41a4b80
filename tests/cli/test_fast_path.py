"""`queue status` without typer behaves as with it."""

import pytest
import typer.main
from tests.cli.support import Home

from spawn.cli.app import app
from spawn.cli.fast_path import VARIABLES, parse_status
from spawn.core.values.ids import is_instance_id

TYPER = ("--refresh", "10s")
"""A flag without effect on one status, which only typer parses."""
INSTANCE = "i-0123456789abcdef0"


@pytest.mark.parametrize(
    "arguments",
    [
        ["local"],
        ["good"],
        ["local", "--json"],
        ["--json", "good"],
        ["missing"],
        ["no id"],
        [""],
        ["i-xyz"],
    ],
    ids=" ".join,
)
def test_the_output_and_the_exit_code_are_those_of_typer(
    finished: Home, arguments: list[str]
) -> None:
    assert parse_status(["queue", "status", *arguments], {}) is not None
    fast = finished("queue", "status", *arguments)
    slow = finished("queue", "status", *arguments, *TYPER)
    assert fast.returncode == slow.returncode
    assert (timeless(fast.stdout), fast.stderr) == (timeless(slow.stdout), slow.stderr)


def timeless(output: str) -> list[str]:
    """Return the lines without the moment of the report, which is later in the second run."""
    return [line for line in output.splitlines() if '"as_of":' not in line]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["queue"],
        ["queue", "status"],
        ["queue", "status", "--help"],
        ["queue", "status", "-h"],
        ["queue", "status", "--json"],
        ["queue", "status", "--json", "--json"],
        ["queue", "status", "local", "good"],
        ["queue", "status", "local", "-w"],
        ["queue", "status", "local", "--at", "1m ago"],
        ["queue", "status", "local", "--jsom"],
        ["queue", "status", "--", "local"],
        ["queue", "status", INSTANCE],
        ["queue", "status", INSTANCE, "--json"],
        ["queue", "history", "local"],
        ["status", INSTANCE],
        ["--version"],
    ],
    ids=" ".join,
)
def test_other_arguments_are_left_to_typer(arguments: list[str]) -> None:
    assert is_instance_id(INSTANCE)
    assert parse_status(arguments, {}) is None


@pytest.mark.parametrize("name", VARIABLES)
def test_with_a_flag_from_the_environment_typer_runs(name: str) -> None:
    arguments = ["queue", "status", "local"]
    assert parse_status(arguments, {name: "value"}) is None
    assert parse_status(arguments, {name: ""}) == ("local", False)  # as for typer: not set


def test_each_variable_that_typer_reads_for_status_is_listed() -> None:
    root = typer.main.get_command(app)
    command = root.commands["queue"].commands["status"]  # type: ignore[attr-defined]
    assert sorted(each.envvar for each in command.params if each.envvar) == list(VARIABLES)
