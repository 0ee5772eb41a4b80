"""The error classes. Each error states what happened, why, and what to do, and has an exit code.

SpawnError              1  the operation failed
├── InvalidArgument     2  a flag or argument is wrong
├── InvalidConfig       2  the configuration has problems; all are listed
├── QueueNotFound       3  no such queue
├── QueueExists         1  the queue id was used before
├── RunnerAlive         1  another runner holds the queue's lock
├── NothingToDo         1  the request would change nothing
├── TtlPassed         143  the queue's --ttl on this machine has expired
├── LogConflict         1  another process appended to the log first
└── CorruptLog          1  the log is inconsistent or damaged
    ├── IllegalTransition  an event that the current state does not allow
    └── UnreadableEvent    an event that this version of spawn cannot read
"""

from collections.abc import Sequence
from typing import Final, Literal, Self

from spawn.core.problems import Problem


class SpawnError(Exception):
    """Base class of all errors that are shown to the user.

    An error does not change once it is made. A handler that knows more raises a copy, such as
    `raise error.with_hint("--profile names another account") from error`.

    Args:
        what: What happened, in one sentence without a full stop.
        why: The cause, if known.
        hint: What to do next: a command or a sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what: Final = what
        self.why: Final = why
        self.hints: Final[tuple[str, ...]] = (hint,) if hint else ()

    def __str__(self) -> str:
        return self.what if not self.why else f"{self.what}: {self.why}"

    @property
    def hint(self) -> str:
        """All hints as one text; empty for none."""
        return joined(*self.hints)

    def with_what(self, what: str) -> Self:
        """A copy with another first sentence."""
        return self._copy(what=what)

    def with_why(self, *more: str) -> Self:
        """A copy with more causes, after those it has."""
        return self._copy(why=joined(self.why, *more))

    def with_hint(self, *more: str) -> Self:
        """A copy with more hints, after those it has. No hint is there twice."""
        return self._copy(hints=tuple(dict.fromkeys(filter(None, (*self.hints, *more)))))

    def with_only_hint(self, hint: str) -> Self:
        """A copy with this hint instead of all others; empty for none."""
        return self._copy(hints=(hint,) if hint else ())

    def with_default_hint(self, hint: str) -> Self:
        """A copy that has this hint if there is no other."""
        return self._copy(hints=self.hints or (hint,))

    def as_cause_of(self, what: str, *, hint: str = "") -> Self:
        """A copy whose first sentence is another failure, with this one as its cause.

        Args:
            hint: What to do about the other failure, before the hints of this one.
        """
        hints = tuple(dict.fromkeys(filter(None, (hint, *self.hints))))
        return self._copy(what=what, why=str(self), hints=hints)

    def _copy(self, **fields: object) -> Self:
        copy = type(self).__new__(type(self), fields.get("what", self.what))
        copy.__dict__.update(self.__dict__, **fields)
        return copy


def joined(*parts: str) -> str:
    """Join the parts that are not empty by `; `."""
    return "; ".join(filter(None, parts))


class InvalidArgument(SpawnError):
    """A flag or an argument is invalid."""

    exit_code = 2


class InvalidConfig(SpawnError):
    """The configuration is invalid.

    Args:
        name: The file's name in messages.
        problems: All problems, at least one.
    """

    exit_code = 2

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{name} has {count} problem{'s' if count != 1 else ''}")
        self.problems = tuple(problems)


class QueueNotFound(SpawnError):
    """The queue does not exist.

    Args:
        cause: `absent`: nothing of the queue is at the place that was searched. `starting`: its
            runner has not submitted it yet. Empty: another cause.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        hint: str = "",
        cause: Literal["", "absent", "starting"] = "",
    ) -> None:
        super().__init__(what, why=why, hint=hint)
        self.cause = cause


class QueueExists(SpawnError):
    """The queue id was used before; an id is never used twice."""


class RunnerAlive(SpawnError):
    """Another process holds the queue's `runner.lock`."""


class NothingToDo(SpawnError):
    """The request would change nothing."""


class TtlExpired(SpawnError):
    """The queue's `--ttl` on this machine expired and interrupted the queue earlier. The exit code
    is that of a queue that is interrupted now."""

    exit_code = 143


class LogConflict(SpawnError):
    """An append stated a `seq` that is not the log's next one: another process wrote first."""


class CorruptLog(SpawnError):
    """The log is inconsistent or damaged.

    Args:
        seq: The first invalid event; 0 if unknown.
    """

    def __init__(self, what: str, *, seq: int = 0, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.seq = seq


class IllegalTransition(CorruptLog):
    """The current state does not allow an event.

    Args:
        event: The event's type.
        state: The state of the job or queue.
        legal: The events that this state allows, sorted.
        of: The job or queue, as shown in the message.
    """

    def __init__(self, event: str, state: str, legal: Sequence[str], *, of: str, seq: int) -> None:
        super().__init__(
            f"event {seq}: {event} is not legal for {of} in state {state}",
            seq=seq,
            why="legal here: " + (", ".join(legal) if legal else "nothing"),
        )
        self.event = event
        self.state = state
        self.legal = tuple(legal)


class UnreadableEvent(CorruptLog):
    """This version of spawn cannot read an event: it is of an unknown type, newer or malformed."""
