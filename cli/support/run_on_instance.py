"""Run `spawn queue` on an instance over SSH and print its output here."""

import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import BinaryIO

from spawn.cli.flags import LocationFlags
from spawn.cli.host import say
from spawn.cli.sources.instance_errors import expect_instance, waiting_message
from spawn.cli.sources.instance_queue_location import NoCopyInS3, asked_queue, locate_instance_queue
from spawn.cli.sources.slow_notice import notice_when_slow
from spawn.cli.ssh.access import instance_access
from spawn.cli.ssh.errors import InstanceNotRunning, RemoteError, Unreachable
from spawn.cli.ssh.lookup import start_hint
from spawn.cli.ssh.run import run_spawn
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.values.ids import is_instance_id, why_not_queue_id
from spawn.store.queue_dir.paths import Roots


def run_on_instance(
    instance_id: str, roots: Roots, where: LocationFlags, words: Sequence[str]
) -> int:
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
        with notice_when_slow(waiting_message(instance_id), say):
            connection = instance_access(instance_id, roots, where).connect()
    except (InstanceNotRunning, Unreachable) as error:
        expect_instance(instance_id, error)
        todo = ""
        if name == "resume":
            typed = [each for each in flags if each != "--detach"]  # added here, not by the user
            todo = _takeover_hint(error, instance_id, roots, where, typed)
        raise _without_s3_hint(error, instance_id, roots, where).with_hint(todo) from error
    with connection, closing(HintRewriter(sys.stderr.buffer, instance_id)) as err:
        return run_spawn(connection, ["queue", name, target, *flags], sys.stdout.buffer, err)


def _without_s3_hint(
    error: RemoteError, instance_id: str, roots: Roots, where: LocationFlags
) -> RemoteError:
    """A copy whose hint does not name S3 if the queue is known to have no copy there."""
    if not isinstance(error, InstanceNotRunning):
        return error
    try:
        locate_instance_queue(instance_id, roots, where, ask_ec2=False)
    except NoCopyInS3 as no_copy:
        hint = start_hint(instance_id) if error.state == "stopped" else no_copy.hint
        return error.with_why(str(no_copy)).with_only_hint(hint)
    except SpawnError:
        pass  # the instance's tags may still name it
    return error


def _takeover_hint(
    error: RemoteError, instance_id: str, roots: Roots, where: LocationFlags, flags: Sequence[str]
) -> str:
    """The hint to resume the queue on this machine; empty unless its copy in S3 is known."""
    from spawn.cli.sources.queue_location import find_place

    if isinstance(error, InstanceNotRunning) and (
        error.state in ("unknown", "pending") or error.elsewhere
    ):
        return ""
    with suppress(SpawnError):
        found = locate_instance_queue(instance_id, roots, where)
        known = find_place(roots, found.queue, found.where)
        if known.guessed or known.place.bucket is None:
            return ""
        place = known.place
        command = ["spawn", "queue", "resume", found.queue, "--from-s3", *flags]
        command += ["--bucket", str(place.bucket)]
        command += ["--prefix", place.prefix] if place.prefix != found.queue else []
        command += ["--region", place.region] if place.region else []
        return f"`{shlex.join(command)}` resumes it on this machine"
    return ""


_COMMAND = re.compile(
    r"spawn queue (?P<verb>cancel|history|logs|report|resume|results|status|verify|wait|why)"
    r" (?P<queue>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>(?: [^`\n]*)?)(?=`|$)",
    re.MULTILINE,
)


def rewrite_hints(text: str, instance_id: str) -> str:
    """Rewrite the commands in a text for use from this machine, and `this machine` to the instance.

    Each command gets the instance as target and `--queue` with the queue's id. Commands with
    `--from-s3` stay as they are: they mean the same on every machine.
    """

    def rewrite(found: re.Match[str]) -> str:
        verb, queue, rest = found["verb"], found["queue"], found["rest"]
        if "--from-s3" in rest or is_instance_id(queue):
            return found[0]
        picked = "" if queue == "local" else f" --queue {queue}"
        return f"spawn queue {verb} {instance_id}{rest}{picked}"

    text = _COMMAND.sub(rewrite, text)
    text = text.replace("`spawn queue list`", f"`spawn queue list {instance_id}`")
    text = text.replace("`spawn queue run FILE`", f"`spawn queue run FILE`, on {instance_id},")
    return text.replace("this machine", instance_id)


class HintRewriter:
    """A sink for an instance's `spawn`: passes complete lines on, rewritten by `rewrite_hints`."""

    def __init__(self, to: BinaryIO, instance_id: str) -> None:
        self._to = to
        self._instance_id = instance_id
        self._partial = b""

    def write(self, data: bytes) -> int:
        """Pass complete lines on, and keep the rest."""
        whole, newline, self._partial = (self._partial + data).rpartition(b"\n")
        self._pass_on(whole + newline)
        return len(data)

    def flush(self) -> None:
        """Flush the output; an incomplete line stays."""
        self._to.flush()

    def close(self) -> None:
        """Pass on a last line without a newline."""
        self._pass_on(self._partial)
        self._partial = b""
        self._to.flush()

    def _pass_on(self, data: bytes) -> None:
        if data:
            text = data.decode("utf-8", "surrogateescape")
            self._to.write(
                rewrite_hints(text, self._instance_id).encode("utf-8", "surrogateescape")
            )
