"""`spawn status`."""

from spawn.cli.flags import InstanceId, InstanceRegion, Json, LocationFlags, Profile


def instance_status(
    instance_id: InstanceId,
    json: Json = False,
    region: InstanceRegion = None,
    profile: Profile = None,
) -> None:
    """Show an instance: state, role, queue, tags and estimated cost.

    The data comes from EC2, IAM, S3 and the AWS price list. `spawn queue status INSTANCE` asks the
    instance itself.

    Examples:
        spawn status i-0123456789abcdef0
        spawn status i-0123456789abcdef0 --json
    """
    from spawn.cli import host
    from spawn.cli.sources.ec2 import describe_instance

    roots = host.local_roots()
    found, profile = describe_instance(instance_id, roots, region, profile)
    from spawn.cli.sources.instance_facts import gather_facts

    now = host.now()
    known = gather_facts(found, roots, LocationFlags(region=found.region, profile=profile), now)
    if json:
        from spawn.cli.output.instance_list import pretty
        from spawn.cli.output.instance_status import as_json

        print(pretty(as_json(known, None)))
        return
    import sys

    from spawn.cli.output.instance_status import render
    from spawn.cli.output.style import style_for

    print("\n".join(render(known, now, None, style_for(sys.stdout))))
