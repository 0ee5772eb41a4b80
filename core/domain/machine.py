"""The two state machines, declared with `transitions`: the only definition of legal transitions.

The triggers are the event types. `core.moves` has the tables generated from these machines, because
the library is too slow to replay a million events.
Source: the job states of the manual page.
"""

from typing import Any

from transitions import Machine, MachineError

from spawn.core.errors import IllegalTransition

JOB_STATES = ("pending", "running", "completed", "failed", "retrying", "blocked")
QUEUE_STATES = ("pending", "running", "completed", "failed", "interrupted")

_STAYS: None = None  # the `dest` of a transition that keeps the state

JOB_TRANSITIONS: list[dict[str, Any]] = [
    {"trigger": "JobStarted", "source": ["pending", "retrying"], "dest": "running"},
    {"trigger": "JobCompleted", "source": "running", "dest": "completed"},
    {"trigger": "JobRetryScheduled", "source": "running", "dest": "retrying"},
    {"trigger": "JobFailed", "source": "running", "dest": "failed"},
    {"trigger": "JobInterrupted", "source": "running", "dest": "pending"},
    {"trigger": "JobBlocked", "source": "pending", "dest": "blocked"},
    {"trigger": "JobUnblocked", "source": "blocked", "dest": "pending"},
    {"trigger": "JobReset", "source": ["failed", "completed"], "dest": "pending"},
    {"trigger": "ResultsUploaded", "source": "completed", "dest": _STAYS},
    {"trigger": "ResultsDelayed", "source": "completed", "dest": _STAYS},
    {"trigger": "ResultsUploadFailed", "source": "completed", "dest": _STAYS},
]
QUEUE_TRANSITIONS: list[dict[str, Any]] = [
    {"trigger": "JobsSubmitted", "source": ["pending", "running"], "dest": _STAYS},
    {"trigger": "QueueStarted", "source": "pending", "dest": "running"},
    {
        "trigger": "QueueResumed",
        "source": ["running", "interrupted", "failed"],
        "dest": "running",
    },
    {"trigger": "QueueReconfigured", "source": "running", "dest": _STAYS},
    {"trigger": "QueueInterrupted", "source": "running", "dest": "interrupted"},
    {"trigger": "QueueCompleted", "source": "running", "dest": "completed"},
    {"trigger": "QueueFailed", "source": ["pending", "running", "interrupted"], "dest": "failed"},
    *({"trigger": job["trigger"], "source": "running", "dest": _STAYS} for job in JOB_TRANSITIONS),
]


class _Model:
    """Holds a machine's current state: one for each machine, not one for each job."""

    state: str
    trigger: Any


class StateMachines:
    """Both machines, to check an event before it is written."""

    def __init__(self) -> None:
        self._job = _build(JOB_STATES, JOB_TRANSITIONS)
        self._queue = _build(QUEUE_STATES, QUEUE_TRANSITIONS)

    def next_job_state(self, state: str, event: str, *, job_id: str = "", seq: int = 0) -> str:
        """Return the next state of a job.

        Raises:
            IllegalTransition: `state` does not allow `event`.
        """
        return _move(self._job, state, event, of=f"job {job_id}", seq=seq)

    def next_queue_state(self, state: str, event: str, *, seq: int = 0) -> str:
        """Return the next state of the queue.

        Raises:
            IllegalTransition: `state` does not allow `event`.
        """
        return _move(self._queue, state, event, of="the queue", seq=seq)


def transition_table(
    states: tuple[str, ...], transitions: list[dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """Return a machine's transition table: state to event to next state, events sorted."""
    machine, model = _build(states, transitions)
    table: dict[str, dict[str, str]] = {}
    for state in states:
        table[state] = {}
        for event in sorted(machine.get_triggers(state)):
            machine.set_state(state, model)
            model.trigger(event)
            table[state][event] = model.state
    return table


def _build(states: tuple[str, ...], transitions: list[dict[str, Any]]) -> tuple[Machine, _Model]:
    model = _Model()
    machine = Machine(
        model=model,
        states=list(states),
        transitions=transitions,
        initial=states[0],
        auto_transitions=False,
    )
    return machine, model


def _move(built: tuple[Machine, _Model], state: str, event: str, *, of: str, seq: int) -> str:
    machine, model = built
    machine.set_state(state, model)
    try:
        model.trigger(event)
    except (MachineError, AttributeError):
        # `transitions` raises AttributeError for a trigger that no state has.
        legal = sorted(machine.get_triggers(state))
        raise IllegalTransition(event, state, legal, of=of, seq=seq) from None
    return model.state
