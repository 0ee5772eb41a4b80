"""What a person can do about a job's state: commands, the most useful first."""

from collections.abc import Iterator

from spawn.core.ids import is_instance_id
from spawn.core.retry import HOPELESS
from spawn.core.state import JobState, QueueState
from spawn.core.why.chain import Chain
from spawn.core.why.model import Advice

_SHOWN = 3


def advice(
    state: QueueState,
    chain: Chain,
    alive: bool | None,
    target: str,
    resume: str,
    *,
    held: bool = False,
) -> Iterator[Advice]:
    """Advise on the asked job, the first of `chain`, whose state the last explains.

    Args:
        target: What to ask of the queue by.
        resume: The command that goes on with it.
        held: Whether something keeps the runner from its work.
    """
    root = state.jobs[chain.jobs[-1]]
    if root.state == "failed":
        yield from _after_failure(state, root, chain, target, resume)
    elif root.state == "completed":
        yield from _after_completion(state, root, target, resume)
    elif state.reason == "global_timeout" and state.ended and not state.failed:
        yield Advice(
            command=f"{resume} --global-timeout DURATION",
            does="gives the queue more time, what has passed included",
        )
    elif state.state == "failed":
        does = _tries(list(state.failed)) if state.failed else "goes on with the queue"
        yield Advice(command=f"{resume} --retry-failed", does=does)
    elif state.state == "pending":
        yield Advice(command=resume, does="begins the queue here")
    elif state.state == "interrupted" or (alive is False and not state.ended):
        yield Advice(command=resume, does="goes on with the queue")
    elif root.state == "running":
        yield Advice(
            command=f"spawn queue logs {target} {root.config.job_id} --follow",
            does="shows what it prints",
        )
    else:
        yield Advice(
            command=f"spawn queue status {target} --watch",
            does="shows when the trouble has passed"
            if held
            else "shows how it goes on; nothing needs to be done",
        )


def _after_failure(
    state: QueueState, root: JobState, chain: Chain, target: str, resume: str
) -> Iterator[Advice]:
    job_id = root.config.job_id
    then = ""
    if len(chain.jobs) > 1:
        waiting = chain.jobs[-2::-1]
        verb = "goes" if len(waiting) == 1 else "go"
        then = f"; then {named(waiting)} {verb} on"
    code = None if root.outcome is None else root.outcome.exit_code
    if code in HOPELESS or not root.folder:
        on = resume.split()[3]
        there = is_instance_id(on)  # a file of its own is all that it can be given
        yield Advice(
            command=f"spawn queue resume {state.queue_id if there else on} --config FILE",
            does=f"{f'typed on {on} ' if there else ''}tries {job_id} again with a configuration "
            f"that mends it{then}",
        )
    yield Advice(command=f"{resume} --retry-failed", does=_tries(_all_failed(state, job_id)) + then)
    if root.folder:
        yield Advice(
            command=f"spawn queue logs {target} {job_id}",
            does="prints all that it printed",
        )


def _after_completion(
    state: QueueState, root: JobState, target: str, resume: str
) -> Iterator[Advice]:
    job_id = root.config.job_id
    if root.upload_failed is not None and state.ended:
        does = "tries to save its results again, as they were when it completed"
        yield Advice(command=resume, does=does)
        yield Advice(
            command="spawn queue run FILE --queue-id NEW",
            does="makes them anew, where they are gone or have changed",
        )
    elif job_id in state.uploading:
        yield Advice(
            command=f"spawn queue status {target}",
            does="says whether the object store can be reached",
        )
    else:
        yield Advice(
            command=f"spawn queue results {target} --job {job_id}",
            does="downloads its output and results",
        )


def _all_failed(state: QueueState, first: str) -> list[str]:
    return [first, *(job_id for job_id in state.failed if job_id != first)]


def _tries(job_ids: list[str]) -> str:
    return f"tries {named(job_ids)} again"


def named(job_ids: tuple[str, ...] | list[str], shown: int = _SHOWN) -> str:
    """Some of many ids: `a`, `a and b`, `a, b, c and 4 more`."""
    rest = len(job_ids) - shown
    if rest > 0:
        return f"{', '.join(job_ids[:shown])} and {rest} more"
    if len(job_ids) < 2:
        return "".join(job_ids)
    return f"{', '.join(job_ids[:-1])} and {job_ids[-1]}"
