"""Modules that `status local` imports: each adds to every status, so each is listed on purpose."""

import json
import subprocess
import sys

import pytest
from tests.cli.support import Home

OURS = {
    "spawn",
    "spawn.cli",
    "spawn.cli.bootstrap",
    "spawn.cli.fast_path",
    "spawn.cli.host",
    "spawn.cli.main",
    "spawn.cli.output",
    "spawn.cli.output.style",
    "spawn.cli.sources",
    "spawn.cli.sources.local",
    "spawn.cli.support",
    "spawn.cli.support.print_status",
    "spawn.cli.support.stdout",
    "spawn.core",
    "spawn.core.config",
    "spawn.core.config.model",
    "spawn.core.domain",
    "spawn.core.domain.attempt_exit",
    "spawn.core.domain.chain",
    "spawn.core.domain.codec",
    "spawn.core.domain.events",
    "spawn.core.domain.evolve",
    "spawn.core.domain.legality",
    "spawn.core.domain.plan",
    "spawn.core.domain.replay",
    "spawn.core.domain.retry",
    "spawn.core.domain.state",
    "spawn.core.domain.transition_tables",
    "spawn.core.errors",
    "spawn.core.problems",
    "spawn.core.reports",
    "spawn.core.reports.build",
    "spawn.core.reports.model",
    "spawn.core.reports.progress",
    "spawn.core.values",
    "spawn.core.values.dag",
    "spawn.core.values.durations",
    "spawn.core.values.ids",
    "spawn.core.values.timestamps",
    "spawn.store",
    "spawn.store.files",
    "spawn.store.identity",
    "spawn.store.json_files",
    "spawn.store.live_facts",
    "spawn.store.log",
    "spawn.store.log.head",
    "spawn.store.log.read",
    "spawn.store.log.replica_progress",
    "spawn.store.queue_dir",
    "spawn.store.queue_dir.block",
    "spawn.store.queue_dir.lock",
    "spawn.store.queue_dir.output",
    "spawn.store.queue_dir.paths",
    "spawn.store.queue_dir.record",
    "spawn.store.queue_dir.troubles",
    "spawn.store.queues",
}
AS_TEXT = {"spawn.cli.output.status", "spawn.core.values.text"}
AS_JSON = {"spawn.cli.output.as_json", "spawn.core.reports.as_json"}

OTHERS = {"msgspec", "typing_extensions"}
"""On Python 3.11, msgspec imports the latter."""

NEVER = {
    "alembic",
    "asyncio",
    "boto3",
    "botocore",
    "hypothesis",
    "rich",
    "sqlalchemy",
    "transitions",
}

PROGRAM = """
import json, sys
before = set(sys.modules)
from spawn.cli.main import run
code = run({arguments!r})
found = [name for name in set(sys.modules) - before if sys.modules[name] is not None]
print(json.dumps([code, sorted(found)]), file=sys.stderr)
"""


def imported(home: Home, *arguments: str) -> set[str]:
    """Return the modules that a command imports beyond those of an empty program."""
    with home.started(
        sys.executable, "-c", PROGRAM.format(arguments=list(arguments)), stdout=subprocess.DEVNULL
    ) as process:
        _, told = process.communicate(timeout=30)
    code, modules = json.loads(told)
    assert code == 0
    return set(modules)


def foreign(modules: set[str]) -> set[str]:
    """Return the third-party packages among modules."""
    tops = {name.partition(".")[0] for name in modules}
    return tops - sys.stdlib_module_names - {"spawn"}


@pytest.mark.parametrize(("flags", "more"), [([], AS_TEXT), (["--json"], AS_JSON)])
def test_status_in_a_pipe_imports_only_these_modules(
    finished: Home, flags: list[str], more: set[str]
) -> None:
    modules = imported(finished, "queue", "status", "local", *flags)
    ours = {name for name in modules if name.partition(".")[0] == "spawn"}
    assert ours == OURS | more
    assert foreign(modules) == OTHERS


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "local", "--watch"],
        ["history", "local"],
        ["list"],
        ["verify", "bad"],
        ["why", "bad", "report"],
        ["report", "bad", "-o", "-"],
        ["validate", "bad.json"],
        ["schema"],
    ],
    ids=" ".join,
)
def test_reading_commands_import_no_heavy_module(finished: Home, arguments: list[str]) -> None:
    tops = {name.partition(".")[0] for name in imported(finished, "queue", *arguments)}
    assert not tops & NEVER
    assert ("jinja2" in tops) == (arguments[0] == "report")


def test_commands_that_query_an_instance_import_neither_boto3_nor_http() -> None:
    found = "[each for each in ('botocore', 'http.client', 'ssl') if each in sys.modules]"
    code = f"import sys, spawn.cli.sources.instance; print({found})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
