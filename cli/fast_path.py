"""The common forms of `spawn queue status`, answered without typer.

Importing typer takes longer than the rest of the command. All other forms (more flags, help, usage
errors, instances) are left to typer.
"""

import os
from collections.abc import Mapping, Sequence

from spawn.core.values.ids import is_instance_id

VARIABLES = (
    "SPAWN_BUCKET",
    "SPAWN_IDENTITY",
    "SPAWN_PREFIX",
    "SPAWN_PROFILE",
    "SPAWN_REFRESH",
    "SPAWN_REGION",
    "SPAWN_SSH_USER",
)
"""The environment variables from which typer takes flags of `status`."""


def run_without_typer(argv: Sequence[str]) -> bool:
    """Run a command of a common form; False, with nothing printed, if typer must run it.

    Raises:
        SpawnError: As for `print_status`.
    """
    request = parse_status(argv, os.environ)
    if request is None:
        return False
    from spawn.cli.support.print_status import print_status

    target, as_json = request
    print_status(target, as_json=as_json)
    return True


def parse_status(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, bool] | None:
    """Parse `queue status TARGET [--json]`.

    Returns:
        The target and whether `--json` is set; None for anything else.
    """
    match argv:
        case ["queue", "status", target]:
            as_json = False
        case ["queue", "status", target, "--json"] | ["queue", "status", "--json", target]:
            as_json = True
        case _:
            return None
    if target.startswith("-") or is_instance_id(target) or any(map(environ.get, VARIABLES)):
        return None
    return target, as_json
