"""What the `spawn` of an instance advises, in words for who asked it from here."""

import re
from typing import BinaryIO

from spawn.core.ids import is_instance_id

_COMMAND = re.compile(
    r"spawn queue (?P<verb>cancel|history|logs|report|resume|results|status|verify|wait|why)"
    r" (?P<queue>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>(?: [^`\n]*)?)(?=`|$)",
    re.MULTILINE,
)


def for_here(text: str, instance_id: str) -> str:
    """Make commands of a text work from here, and have it name the machine that it is about.

    The queue is named in each, whichever the instance means by then. What takes a queue over from
    S3 stays: it says the same everywhere.
    """

    def command(found: re.Match[str]) -> str:
        verb, queue, rest = found["verb"], found["queue"], found["rest"]
        if "--from-s3" in rest or is_instance_id(queue):
            return found[0]
        picked = "" if queue == "local" else f" --queue {queue}"
        return f"spawn queue {verb} {instance_id}{rest}{picked}"

    text = _COMMAND.sub(command, text)
    text = text.replace("`spawn queue list`", f"`spawn queue list {instance_id}`")
    text = text.replace("`spawn queue run FILE`", f"`spawn queue run FILE`, on {instance_id},")
    return text.replace("this machine", instance_id)


class ForHere:
    """Where an instance's `spawn` talks to: it is passed on line by line, as `for_here` has it."""

    def __init__(self, to: BinaryIO, instance_id: str) -> None:
        self._to = to
        self._instance_id = instance_id
        self._open = b""

    def write(self, data: bytes) -> int:
        """Take some of it."""
        whole, newline, self._open = (self._open + data).rpartition(b"\n")
        self._pass(whole + newline)
        return len(data)

    def flush(self) -> None:
        """Pass on whole lines."""
        self._to.flush()

    def close(self) -> None:
        """Pass on what ends without a newline."""
        self._pass(self._open)
        self._open = b""
        self._to.flush()

    def _pass(self, data: bytes) -> None:
        if data:
            text = data.decode("utf-8", "surrogateescape")
            self._to.write(for_here(text, self._instance_id).encode("utf-8", "surrogateescape"))
