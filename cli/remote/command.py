"""Have an instance's own `spawn` do something with a queue of its: what it prints is ours, in words
for who sits here."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing, suppress

from spawn.cli.bootstrap import say
from spawn.cli.flags import Where
from spawn.cli.remote.errors import Gone, RemoteError, Unreachable
from spawn.cli.remote.hints import ForHere
from spawn.cli.remote.lookup import start
from spawn.cli.remote.run import run_spawn
from spawn.cli.remote.way import reach_of
from spawn.cli.sources.silent import expect_instance, joined, waits
from spawn.cli.sources.slow import told_when_slow
from spawn.cli.sources.whereabouts import Alone, asked_queue, whereabouts
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.ids import why_not_queue_id
from spawn.store.paths import Roots


def on_instance(instance_id: str, roots: Roots, where: Where, words: Sequence[str]) -> int:
    """Run `spawn queue <words>` there, as the user whose queues they are.

    Returns:
        Its exit code.

    Raises:
        InvalidArgument: What is to be its queue cannot be one, or it is no instance.
        RemoteError: It cannot be asked, or has no `spawn` that understands this.
    """
    target = asked_queue(where) or "local"
    why = why_not_queue_id(target) if target != "local" else None
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    name, *flags = words
    try:
        with told_when_slow(waits(instance_id), say):
            connection = reach_of(instance_id, roots, where).connect()
    except (Gone, Unreachable) as error:
        expect_instance(instance_id, error)
        if isinstance(error, Gone):
            _expect_copy(error, instance_id, roots, where)
        if name == "resume":
            typed = [each for each in flags if each != "--detach"]  # that is ours, there
            _offer_s3(error, instance_id, roots, where, typed)
        raise
    with connection, closing(ForHere(sys.stderr.buffer, instance_id)) as err:
        return run_spawn(connection, ["queue", name, target, *flags], sys.stdout.buffer, err)


def _expect_copy(error: Gone, instance_id: str, roots: Roots, where: Where) -> None:
    """Send nobody to a log in S3 that is known not to be there."""
    try:
        whereabouts(instance_id, roots, where, ask_ec2=False)
    except Alone as alone:
        error.why = joined(error.why, str(alone))
        error.hint = start(instance_id) if error.state == "stopped" else alone.hint
    except SpawnError:
        pass  # its tags may say where


def _offer_s3(
    error: RemoteError, instance_id: str, roots: Roots, where: Where, flags: Sequence[str]
) -> None:
    """Where its queue is known to be in S3, it can go on on another machine: say how."""
    from spawn.cli.sources.place import place_of

    if isinstance(error, Gone) and (error.state in ("unknown", "pending") or error.elsewhere):
        return
    with suppress(SpawnError):
        found = whereabouts(instance_id, roots, where)
        known = place_of(roots, found.queue, found.where)
        if known.guessed or known.place.bucket is None:
            return
        place = known.place
        command = ["spawn", "queue", "resume", found.queue, "--from-s3", *flags]
        command += ["--bucket", str(place.bucket)]
        command += ["--prefix", place.prefix] if place.prefix != found.queue else []
        command += ["--region", place.region] if place.region else []
        error.hint = joined(error.hint, f"`{shlex.join(command)}` goes on with it on this machine")
