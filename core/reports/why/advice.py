"""Commands for a user to act on a job's state, the most useful first."""

from collections.abc import Iterator

from msgspec import Struct, structs

from spawn.core.domain.retry import HOPELESS
from spawn.core.domain.state import JobState, QueueState
from spawn.core.reports.model import Target
from spawn.core.reports.why.chain import Chain
from spawn.core.reports.why.model import Advice
from spawn.core.values.ids import is_instance_id

_SHOWN = 3


class ResumeCommand(Struct, frozen=True):
    """The command that resumes a queue. `from_s3`: whether it needs `--from-s3`."""

    target: Target
    from_s3: bool

    def with_flags(self, flags: str = "") -> str:
        """The command as text, with these flags."""
        words = ["spawn queue resume", str(self.target), flags, "--from-s3" * self.from_s3]
        return " ".join(filter(None, words))


def advice(
    state: QueueState,
    chain: Chain,
    alive: bool | None,
    target: Target,
    resume: ResumeCommand,
    *,
    held: bool = False,
) -> Iterator[Advice]:
    """Yield advice for the first job of `chain`, whose state is explained by the last.

    Args:
        target: The target of commands that read the queue.
        held: Whether a trouble affects the job.
    """
    root = state.jobs[chain.jobs[-1]]
    if root.state == "failed":
        yield from _after_failure(state, root, chain, target, resume)
    elif root.state == "completed":
        yield from _after_completion(state, root, target, resume)
    elif state.reason == "global_timeout" and state.ended and not state.failed:
        yield Advice(
            command=resume.with_flags("--global-timeout DURATION"),
            does="sets a longer limit, which includes the time already used",
        )
    elif state.state == "failed":
        does = _retries(list(state.failed)) if state.failed else "resumes the queue"
        yield Advice(command=resume.with_flags("--retry-failed"), does=does)
    elif state.state == "pending":
        yield Advice(command=resume.with_flags(), does="starts the queue here")
    elif state.state == "interrupted" or (alive is False and not state.ended):
        yield Advice(command=resume.with_flags(), does="resumes the queue")
    elif root.state == "running":
        yield Advice(
            command=f"spawn queue logs {target} {root.config.job_id} --follow",
            does="follows its output",
        )
    else:
        yield Advice(
            command=f"spawn queue status {target} --watch",
            does="shows when the trouble is over"
            if held
            else "shows its progress; no action is needed",
        )


def _after_failure(
    state: QueueState, root: JobState, chain: Chain, target: Target, resume: ResumeCommand
) -> Iterator[Advice]:
    job_id = root.config.job_id
    then = ""
    if len(chain.jobs) > 1:
        waiting = chain.jobs[-2::-1]
        then = f", then runs {join_ids(waiting)}"
    code = None if root.outcome is None else root.outcome.exit_code
    if code in HOPELESS or not root.folder:
        on = resume.target.name
        there = is_instance_id(on)  # --config reads a file of the machine where it is typed
        typed_there = structs.replace(resume, target=Target(state.queue_id)) if there else resume
        yield Advice(
            command=typed_there.with_flags("--config FILE"),
            does=f"{f'on {on} ' if there else ''}retries {job_id} with a corrected "
            f"configuration{then}",
        )
    does = _retries(_all_failed(state, job_id)) + then
    yield Advice(command=resume.with_flags("--retry-failed"), does=does)
    if root.folder:
        yield Advice(
            command=f"spawn queue logs {target} {job_id}",
            does="prints its whole output",
        )


def _after_completion(
    state: QueueState, root: JobState, target: Target, resume: ResumeCommand
) -> Iterator[Advice]:
    job_id = root.config.job_id
    if root.upload_failed is not None and state.ended:
        does = "retries the upload of its results, unchanged since it completed"
        yield Advice(command=resume.with_flags(), does=does)
        yield Advice(
            command="spawn queue run FILE --queue-id NEW",
            does="produces them again if they are missing or have changed",
        )
    elif job_id in state.uploading:
        yield Advice(
            command=f"spawn queue status {target}",
            does="shows whether the object store is reachable",
        )
    else:
        yield Advice(
            command=f"spawn queue results {target} --job {job_id}",
            does="downloads its output and results",
        )


def _all_failed(state: QueueState, first: str) -> list[str]:
    return [first, *(job_id for job_id in state.failed if job_id != first)]


def _retries(job_ids: list[str]) -> str:
    return f"retries {join_ids(job_ids)}"


def join_ids(job_ids: tuple[str, ...] | list[str], shown: int = _SHOWN) -> str:
    """Join ids for display: `a`, `a and b`, `a, b, c and 4 more`."""
    rest = len(job_ids) - shown
    if rest > 0:
        return f"{', '.join(job_ids[:shown])} and {rest} more"
    if len(job_ids) < 2:
        return "".join(job_ids)
    return f"{', '.join(job_ids[:-1])} and {job_ids[-1]}"
