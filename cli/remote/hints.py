"""Rewrite the hints of an instance's `spawn` so that their commands work from this machine."""

import re
from typing import BinaryIO

from spawn.core.ids import is_instance_id

_COMMAND = re.compile(
    r"spawn queue (?P<verb>cancel|history|logs|report|resume|results|status|verify|wait|why)"
    r" (?P<queue>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<rest>(?: [^`\n]*)?)(?=`|$)",
    re.MULTILINE,
)


def for_here(text: str, instance_id: str) -> str:
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


class ForHere:
    """A sink for an instance's `spawn`: passes complete lines on, rewritten by `for_here`."""

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
            self._to.write(for_here(text, self._instance_id).encode("utf-8", "surrogateescape"))
