"""Run `spawn queue` on an instance over SSH and print its output here."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing, suppress

from spawn.cli.bootstrap import say
from spawn.cli.flags import Where
from spawn.cli.remote.errors import Gone, RemoteError, Unreachable
from spawn.cli.remote.hints import ForHere
from spawn.cli.remote.lookup import start_hint
from spawn.cli.remote.run import run_spawn
from spawn.cli.remote.way import reach_of
from spawn.cli.sources.silent import expect_instance, joined, waiting_message
from spawn.cli.sources.slow import told_when_slow
from spawn.cli.sources.whereabouts import NoCopyInS3, asked_queue, whereabouts
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.ids import why_not_queue_id
from spawn.store.paths import Roots


def on_instance(instance_id: str, roots: Roots, where: Where, words: Sequence[str]) -> int:
    """Run `spawn queue <words>` on the instance, as the SSH user.

    Returns:
        The exit code of that command.

    Raises:
        InvalidArgument: The queue id is malformed, or `instance_id` is not an instance.
        RemoteError: The instance cannot be reached, or its `spawn` does not support the command.
    """
    target = asked_queue(where) or "local"
    why = why_not_queue_id(target) if target != "local" else None
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    name, *flags = words
    try:
        with told_when_slow(waiting_message(instance_id), say):
            connection = reach_of(instance_id, roots, where).connect()
    except (Gone, Unreachable) as error:
        expect_instance(instance_id, error)
        if isinstance(error, Gone):
            _drop_s3_hint(error, instance_id, roots, where)
        if name == "resume":
            typed = [each for each in flags if each != "--detach"]  # added here, not by the user
            _suggest_takeover(error, instance_id, roots, where, typed)
        raise
    with connection, closing(ForHere(sys.stderr.buffer, instance_id)) as err:
        return run_spawn(connection, ["queue", name, target, *flags], sys.stdout.buffer, err)


def _drop_s3_hint(error: Gone, instance_id: str, roots: Roots, where: Where) -> None:
    """Replace the hint to read the log in S3 if the queue is known to have no copy there."""
    try:
        whereabouts(instance_id, roots, where, ask_ec2=False)
    except NoCopyInS3 as no_copy:
        error.why = joined(error.why, str(no_copy))
        error.hint = start_hint(instance_id) if error.state == "stopped" else no_copy.hint
    except SpawnError:
        pass  # the instance's tags may still name it


def _suggest_takeover(
    error: RemoteError, instance_id: str, roots: Roots, where: Where, flags: Sequence[str]
) -> None:
    """Add a hint to resume the queue on this machine, if its copy in S3 is known."""
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
        error.hint = joined(error.hint, f"`{shlex.join(command)}` resumes it on this machine")
