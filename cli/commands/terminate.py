"""`spawn terminate`."""

from typing import Annotated

import typer

from spawn.cli.flags import Identity, InstanceId, InstanceRegion, Profile, SshUser, Where


def terminate(
    instance_id: InstanceId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Though a queue runs, or its log or files are not in S3."),
    ] = False,
    ssh_user: SshUser = None,
    identity: Identity = None,
    region: InstanceRegion = None,
    profile: Profile = None,
) -> None:
    """Terminate an instance, and lose its disk.

    Asks first. Refuses while a queue runs there, or while its log, results or output are not all in
    S3, or nobody can tell. Only instances that are tagged with a queue.
    """
    from spawn.cli import bootstrap
    from spawn.cli.sources.ec2 import described
    from spawn.cli.terminating import (
        confirm,
        expect_ours,
        expect_safe,
        expect_somebody,
        forget,
        remains,
    )

    roots = bootstrap.machine()
    found, profile = described(instance_id, roots, region, profile)
    from spawn.store import fleet

    if fleet.is_over(found.state):
        print(f"Instance {instance_id} is {found.state} already")
        for line in forget(found, profile):  # one that ended itself could not
            bootstrap.say(line)
        return
    expect_ours(found)
    if not yes:
        expect_somebody()
    where = Where(region=found.region, profile=profile, ssh_user=ssh_user, identity=identity)
    if not force:
        expect_safe(found, roots, where)
    if not yes and not confirm(found, force=force):
        bootstrap.say("Nothing was terminated")
        raise typer.Exit(1)
    state = fleet.terminate(instance_id, found.region, profile)
    print(f"Instance {instance_id} is {state}")
    for line in [*forget(found, profile), *remains(found)]:
        bootstrap.say(line)
