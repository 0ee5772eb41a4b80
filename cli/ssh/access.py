"""Make a `Reach` from the command line's flags."""

from spawn.cli.flags import Where
from spawn.cli.ssh.reach import Asked, Reach, Told
from spawn.store.queue_dir.paths import Roots


def reach_of(instance_id: str, roots: Roots, where: Where, *, told: Told | None = None) -> Reach:
    """Access to an instance, with the SSH flags of `where`."""
    asked = Asked(
        ssh_user=where.ssh_user,
        identity=where.identity,
        region=where.region,
        profile=where.profile,
    )
    return Reach(instance_id, roots, asked=asked, told=told)
