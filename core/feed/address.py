"""What can be asked of the feed, and how that is written as the target of a GET.

Ids need no quoting: they are letters, digits and `._-`.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.core.ids import is_safe, why_not_queue_id

DEFAULT_PORT = 27296
"""Registered for nothing, and below the ports that Linux gives to outgoing connections."""
MAX_PORT = 65535
PORT_VARIABLE = "SPAWN_FEED_PORT"
MAX_WAIT = 25.0
"""Seconds that an answer may be waited for: less than what drops a quiet connection on the way."""
STREAMS = ("stdout.log", "stderr.log")

_NUMBER = re.compile(r"[0-9]{1,15}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SINCE = re.compile(r"[0-9a-f.]{1,40}")


class AskHello(Struct, frozen=True, tag=True):
    """Who is there?"""

    @property
    def target(self) -> str:
        """As it is written."""
        return "/v1/hello"


class AskQueues(Struct, frozen=True, tag=True):
    """Which queues are there?"""

    @property
    def target(self) -> str:
        """As it is written."""
        return "/v1/queues"


class AskPage(Struct, frozen=True, kw_only=True, tag=True):
    """What came after an event?

    Args:
        after: Its seq; 0 for the whole log.
        hash_: The chain's hash up to it, in hex; may be empty for 0.
        since: The `version` of what is known of the machine; empty for nothing.
        wait: Seconds that the answer may wait for news.
    """

    queue_id: str
    after: int = 0
    hash_: str = ""
    since: str = ""
    wait: float = 0.0

    @property
    def target(self) -> str:
        """As it is written."""
        asked = _query(after=self.after, hash=self.hash_, since=self.since, wait=self.wait)
        return f"/v1/queues/{self.queue_id}{asked}"


class AskOutput(Struct, frozen=True, kw_only=True, tag=True):
    """What did an attempt print from byte `at` on? `wait` as for a page: for more to come."""

    queue_id: str
    job_id: str
    attempt: int
    name: str
    at: int = 0
    wait: float = 0.0

    @property
    def target(self) -> str:
        """As it is written."""
        asked = _query(at=self.at, wait=self.wait)
        return f"/v1/queues/{self.queue_id}/output/{self.job_id}/{self.attempt}/{self.name}{asked}"


Ask = AskHello | AskQueues | AskPage | AskOutput


class NoSuchAddress(InvalidArgument):
    """Nothing is there, in this version."""


def parse(target: str) -> Ask:
    """Read what is asked. What a newer version may ask besides is passed over.

    Raises:
        NoSuchAddress: There is no such thing to ask for.
        InvalidArgument: A part of it cannot be meant.
    """
    path, _, query = target.partition("?")
    said = dict(_pairs(query))
    match path.split("/"):
        case ["", "v1", "hello"]:
            return AskHello()
        case ["", "v1", "queues"]:
            return AskQueues()
        case ["", "v1", "queues", queue_id]:
            return AskPage(
                queue_id=_queue(queue_id),
                after=_number(said, "after"),
                hash_=_text(said, "hash", _HASH),
                since=_text(said, "since", _SINCE),
                wait=min(MAX_WAIT, _number(said, "wait")),
            )
        case ["", "v1", "queues", queue_id, "output", job_id, attempt, name]:
            if not is_safe(job_id) or name not in STREAMS:
                raise NoSuchAddress("there is no such output")
            return AskOutput(
                queue_id=_queue(queue_id),
                job_id=job_id,
                attempt=_number({"attempt": attempt}, "attempt"),
                name=name,
                at=_number(said, "at"),
                wait=min(MAX_WAIT, _number(said, "wait")),
            )
    raise NoSuchAddress("nothing is at this address")


def port(environ: Mapping[str, str]) -> int:
    """The port that a feed serves on: `SPAWN_FEED_PORT`, else 27296; 0: any that is free.

    Raises:
        InvalidArgument: What is set is no port.
    """
    text = environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not _NUMBER.fullmatch(text) or int(text) > MAX_PORT:
        raise InvalidArgument(f"{PORT_VARIABLE} is '{text}'", why=f"a port is 1 to {MAX_PORT}")
    return int(text)


def _query(**values: float | str) -> str:
    """What is asked for; a default is left out."""
    written = [f"{key}={_written(value)}" for key, value in values.items() if value]
    return f"?{'&'.join(written)}" if written else ""


def _written(value: float | str) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        key, _, value = part.partition("=")
        yield key, value


def _queue(text: str) -> str:
    if why_not_queue_id(text) is not None:
        raise NoSuchAddress("no queue can be called so")
    return text


def _number(said: Mapping[str, str], key: str) -> int:
    text = said.get(key) or "0"
    if not _NUMBER.fullmatch(text):
        raise InvalidArgument(f"{key} is not a number")
    return int(text)


def _text(said: Mapping[str, str], key: str, form: re.Pattern[str]) -> str:
    text = said.get(key, "")
    if text and not form.fullmatch(text):
        raise InvalidArgument(f"{key} is not one")
    return text
