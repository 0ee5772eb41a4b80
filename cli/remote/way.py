"""The way to an instance, as the flags say."""

from spawn.cli.flags import Where
from spawn.cli.remote.reach import Asked, Reach, Told
from spawn.store.paths import Roots


def reach_of(instance_id: str, roots: Roots, where: Where, *, told: Told | None = None) -> Reach:
    """The way to an instance, as the flags say."""
    asked = Asked(
        ssh_user=where.ssh_user,
        identity=where.identity,
        region=where.region,
        profile=where.profile,
    )
    return Reach(instance_id, roots, asked=asked, told=told)
