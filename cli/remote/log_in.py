"""Find the way to an instance, see that it is the instance, and say how `ssh` goes it."""

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
    """Connect once, to know that `ssh` will; returns its words.

    Raises:
        SpawnError: There is no `ssh`, or what was learned of the host cannot be kept for it.
        RemoteError: It cannot be reached, or is not who it should be. That it takes none of our
            keys is left to `ssh` where somebody can be asked for a passphrase.
    """
    program = find("ssh")
    if program is None:
        raise SpawnError(
            "there is no ssh on this machine", hint="install OpenSSH's client: openssh-client"
        )

    began = True

    def keys() -> tuple[str, ...]:
        from spawn.cli.sources.vouched import vouched

        nonlocal began
        found = vouched(instance_id, roots, where)
        began = found.host_keys is not None or bool(found.owner)
        return tuple(found.host_keys or ())

    reach = reach_of(instance_id, roots, where, told=Told(host_keys=keys))
    interactive = sys.stdin.isatty()
    try:
        reach.connect().close()
    except HostKeyUnknown as error:
        if not began:
            error.why += "; it still boots, and the log of its queue will have its key"
            error.hint = f"wait for `spawn queue status {instance_id}` to say so; or {error.hint}"
        raise
    except NotLetIn:
        if not interactive:
            raise
    own = OwnHosts(roots)
    if not own.keys(instance_id):
        raise SpawnError(
            f"the host key of {instance_id} is right, and cannot be kept for ssh",
            why=f"{own.path} cannot be written",
            hint="free some space, or let SPAWN_HOME name a folder of yours",
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
