"""`spawn connect`: verify the instance over our own connection, then build the `ssh` command."""

import os
import sys

from spawn.cli.flags import Where
from spawn.cli.remote.errors import HostKeyUnknown, NotLetIn
from spawn.cli.remote.own_hosts import OwnHosts
from spawn.cli.remote.reach import Told
from spawn.cli.remote.system_ssh import arguments
from spawn.cli.remote.way import reach_of
from spawn.core.errors import SpawnError
from spawn.store.paths import Roots
from spawn.store.programs import find


def log_in(instance_id: str, roots: Roots, where: Where, command: str | None) -> list[str]:
    """Connect once to find the address and verify the host key; returns the `ssh` command line.

    Raises:
        SpawnError: No `ssh` program is installed, or the host key cannot be saved for it.
        RemoteError: The instance cannot be reached or its host key is not trusted. A rejected login
            is an error only without a terminal: else `ssh` may ask for a passphrase.
    """
    program = find("ssh")
    if program is None:
        raise SpawnError(
            "no ssh program found on this machine", hint="install the package openssh-client"
        )

    began = True

    def keys() -> tuple[str, ...]:
        from spawn.cli.sources.vouched import read_logged_instance

        nonlocal began
        found = read_logged_instance(instance_id, roots, where)
        began = found.host_keys is not None or bool(found.owner)
        return tuple(found.host_keys or ())

    reach = reach_of(instance_id, roots, where, told=Told(host_keys=keys))
    interactive = sys.stdin.isatty()
    try:
        reach.connect().close()
    except HostKeyUnknown as error:
        if not began:
            error.why += "; it is still booting, and will write its key to its queue's log"
            error.hint = (
                f"wait until `spawn queue status {instance_id}` shows that the queue has started; "
                f"or {error.hint}"
            )
        raise
    except NotLetIn:
        if not interactive:
            raise
    own = OwnHosts(roots)
    if not own.keys(instance_id):
        raise SpawnError(
            f"the host key of {instance_id} is verified but cannot be saved for ssh",
            why=f"{own.path} cannot be written",
            hint="free some space, or set SPAWN_HOME to a folder that you can write to",
        )
    assert reach.last is not None
    settings, user = reach.last
    words = arguments(
        instance_id,
        settings,
        user,
        config=os.environ.get("SPAWN_SSH_CONFIG") or None,
        known_hosts=own.path,
        command=command,
        terminal=interactive and sys.stdout.isatty(),
    )
    return [program, *words[1:]]
