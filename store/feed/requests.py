"""The requests to the feed, and their form as the target of a GET.

Ids need no quoting: they consist of letters, digits and `._-`.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.core.values.ids import is_safe, why_not_queue_id

DEFAULT_PORT = 27296
"""Not registered, and below Linux's range for outgoing connections."""
MAX_PORT = 65535
PORT_VARIABLE = "SPAWN_FEED_PORT"
MAX_WAIT = 25.0
"""Maximum `wait` in seconds; shorter than the idle timeouts of proxies and firewalls."""
STREAMS = ("stdout.log", "stderr.log")

_NUMBER = re.compile(r"[0-9]{1,15}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SINCE = re.compile(r"[0-9a-f.]{1,40}")


class HelloRequest(Struct, frozen=True, tag=True):
    """Request the feed's version and its current queue."""

    @property
    def target(self) -> str:
        """The target of the GET."""
        return "/v1/hello"


class QueuesRequest(Struct, frozen=True, tag=True):
    """Request the list of queues."""

    @property
    def target(self) -> str:
        """The target of the GET."""
        return "/v1/queues"


class PageRequest(Struct, frozen=True, kw_only=True, tag=True):
    """Request the events after a known event, and the machine's state.

    Args:
        after: Seq of the known event; 0 for the whole log.
        hash_: Chain hash of that event in hex; may be empty for 0.
        since: `version` of the known machine state; empty for none.
        wait: Seconds that the feed may wait for news.
    """

    queue_id: str
    after: int = 0
    hash_: str = ""
    since: str = ""
    wait: float = 0.0

    @property
    def target(self) -> str:
        """The target of the GET."""
        query = _query(after=self.after, hash=self.hash_, since=self.since, wait=self.wait)
        return f"/v1/queues/{self.queue_id}{query}"


class OutputRequest(Struct, frozen=True, kw_only=True, tag=True):
    """Request an attempt's output from byte `at`; `wait`: seconds to wait for more."""

    queue_id: str
    job_id: str
    attempt: int
    name: str
    at: int = 0
    wait: float = 0.0

    @property
    def target(self) -> str:
        """The target of the GET."""
        query = _query(at=self.at, wait=self.wait)
        return f"/v1/queues/{self.queue_id}/output/{self.job_id}/{self.attempt}/{self.name}{query}"


Ask = HelloRequest | QueuesRequest | PageRequest | OutputRequest


class NoSuchAddress(InvalidArgument):
    """This version serves nothing at the target."""


def parse_target(target: str) -> Ask:
    """Parse the target of a GET. Unknown query parameters are ignored.

    Raises:
        NoSuchAddress: The path is unknown.
        InvalidArgument: A query parameter is invalid.
    """
    path, _, query = target.partition("?")
    parameters = dict(_pairs(query))
    match path.split("/"):
        case ["", "v1", "hello"]:
            return HelloRequest()
        case ["", "v1", "queues"]:
            return QueuesRequest()
        case ["", "v1", "queues", queue_id]:
            return PageRequest(
                queue_id=_queue(queue_id),
                after=_number(parameters, "after"),
                hash_=_text(parameters, "hash", _HASH),
                since=_text(parameters, "since", _SINCE),
                wait=min(MAX_WAIT, _number(parameters, "wait")),
            )
        case ["", "v1", "queues", queue_id, "output", job_id, attempt, name]:
            if not is_safe(job_id) or name not in STREAMS:
                raise NoSuchAddress("there is no such output")
            return OutputRequest(
                queue_id=_queue(queue_id),
                job_id=job_id,
                attempt=_number({"attempt": attempt}, "attempt"),
                name=name,
                at=_number(parameters, "at"),
                wait=min(MAX_WAIT, _number(parameters, "wait")),
            )
    raise NoSuchAddress("there is nothing at this address")


def feed_port(environ: Mapping[str, str]) -> int:
    """Return the feed's port: `SPAWN_FEED_PORT`, default 27296; 0 means any free port.

    Raises:
        InvalidArgument: `SPAWN_FEED_PORT` is not a port.
    """
    text = environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not _NUMBER.fullmatch(text) or int(text) > MAX_PORT:
        raise InvalidArgument(f"{PORT_VARIABLE} is '{text}'", why=f"a port is 1 to {MAX_PORT}")
    return int(text)


def _query(**values: float | str) -> str:
    """Format a query; defaults are omitted."""
    pairs = [f"{key}={_format_value(value)}" for key, value in values.items() if value]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _format_value(value: float | str) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        key, _, value = part.partition("=")
        yield key, value


def _queue(text: str) -> str:
    if why_not_queue_id(text) is not None:
        raise NoSuchAddress("the queue id is invalid")
    return text


def _number(parameters: Mapping[str, str], key: str) -> int:
    text = parameters.get(key) or "0"
    if not _NUMBER.fullmatch(text):
        raise InvalidArgument(f"{key} is not a number")
    return int(text)


def _text(parameters: Mapping[str, str], key: str, form: re.Pattern[str]) -> str:
    text = parameters.get(key, "")
    if text and not form.fullmatch(text):
        raise InvalidArgument(f"{key} is invalid")
    return text
