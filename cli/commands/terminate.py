"""`spawn terminate`."""

from typing import Annotated

import typer

from spawn.cli.flags import Identity, InstanceId, InstanceRegion, LocationFlags, Profile, SshUser


def terminate(
    instance_id: InstanceId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Terminate even if a queue is running or its files are not all in S3."
        ),
    ] = False,
    ssh_user: SshUser = None,
    identity: Identity = None,
    region: InstanceRegion = None,
    profile: Profile = None,
) -> None:
    """Terminate an instance and lose its disk.

    Asks for confirmation. Refused while a queue is running there, or unless its log, results and
    output are known to be in S3. Only instances that are tagged with a queue can be terminated.

    Examples:
        spawn terminate i-0123456789abcdef0
        spawn terminate i-0123456789abcdef0 --yes
    """
    from spawn.cli import host
    from spawn.cli.sources.ec2 import describe_instance
    from spawn.cli.support.termination import (
        confirm,
        delete_environment,
        expect_no_data_loss,
        expect_queue_tag,
        expect_terminal,
        remaining_costs,
    )

    roots = host.local_roots()
    found, profile = describe_instance(instance_id, roots, region, profile)
    from spawn.store.aws import fleet

    if fleet.is_over(found.state):
        print(f"Instance {instance_id} is already {found.state}")
        for line in delete_environment(found, profile):  # the instance could not delete it
            host.say(line)
        return
    expect_queue_tag(found)
    if not yes:
        expect_terminal()
    where = LocationFlags(
        region=found.region, profile=profile, ssh_user=ssh_user, identity=identity
    )
    if not force:
        expect_no_data_loss(found, roots, where)
    if not yes and not confirm(found, force=force):
        host.say("Nothing was terminated")
        raise typer.Exit(1)
    state = fleet.terminate_instance(instance_id, found.region, profile)
    print(f"Instance {instance_id} is {state}")
    for line in [*delete_environment(found, profile), *remaining_costs(found)]:
        host.say(line)
