"""Make a `Reach` from the command line's flags."""

from spawn.cli.flags import LocationFlags
from spawn.cli.ssh.reach import InstanceAccess, LogHints, SshFlags
from spawn.store.queue_dir.paths import Roots


def instance_access(
    instance_id: str, roots: Roots, where: LocationFlags, *, told: LogHints | None = None
) -> InstanceAccess:
    """Access to an instance, with the SSH flags of `where`."""
    asked = SshFlags(
        ssh_user=where.ssh_user,
        identity=where.identity,
        region=where.region,
        profile=where.profile,
    )
    return InstanceAccess(instance_id, roots, asked=asked, told=told)
