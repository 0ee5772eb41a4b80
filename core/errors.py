"""Every failure has a name, says what happened, why, and what to do, and ends in an exit code.

SpawnError              1  the operation failed
├── InvalidArgument     2  a flag or argument is wrong
├── InvalidConfig       2  the configuration has problems, all of them listed
├── QueueNotFound       3  no queue of that name
├── QueueExists         1  an id is never used twice
├── RunnerAlive         1  another runner holds the queue
├── NothingToDo         1  what was asked for would change nothing
├── TtlPassed         143  the queue's time on this machine is over
├── LogConflict         1  an append expected another seq: someone else wrote
└── CorruptLog          1  the log contradicts itself
    ├── IllegalTransition  an event that its state does not allow
    └── UnreadableEvent    an event that this version cannot read
"""

from collections.abc import Sequence

from spawn.core.config.problems import Problem


class SpawnError(Exception):
    """Base of every error that a person is meant to read.

    Args:
        what: What happened, one sentence without a full stop.
        why: The cause, when it is known.
        hint: What to do next: a command or a sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return self.what if not self.why else f"{self.what}: {self.why}"


class InvalidArgument(SpawnError):
    """A flag or an argument that cannot be meant."""

    exit_code = 2


class InvalidConfig(SpawnError):
    """A configuration that cannot be run.

    Args:
        name: What to call the file.
        problems: All that is wrong with it, at least one.
    """

    exit_code = 2

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{name} has {count} problem{'s' if count != 1 else ''}")
        self.problems = tuple(problems)


class QueueNotFound(SpawnError):
    """There is no such queue."""

    exit_code = 3


class QueueExists(SpawnError):
    """The id was used before; an id is never used twice."""


class RunnerAlive(SpawnError):
    """Another process holds the queue's `runner.lock`."""


class NothingToDo(SpawnError):
    """What was asked for would change nothing."""


class TtlPassed(SpawnError):
    """The queue's time on this machine is over, and it was interrupted for that before: as for one
    that is interrupted now."""

    exit_code = 143


class LogConflict(SpawnError):
    """An append named a `seq` that is not the log's next one."""


class CorruptLog(SpawnError):
    """The log contradicts itself.

    Args:
        seq: The first event that is wrong; 0 when it cannot be told.
    """

    def __init__(self, what: str, *, seq: int = 0, why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.seq = seq


class IllegalTransition(CorruptLog):
    """An event that does not fit the state it meets.

    Args:
        event: The event's type.
        state: The state that it met, of the job or the queue.
        legal: The events that this state allows, sorted.
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
    """An event that this version cannot read: foreign, newer or malformed."""
