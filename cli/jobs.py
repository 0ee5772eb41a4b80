"""The job that a person names."""

from collections.abc import Iterable

from spawn.core.config.names import nearest
from spawn.core.errors import InvalidArgument
from spawn.core.why.advice import named

_SHOWN = 10


def expect_job(job_id: str, job_ids: Iterable[str], queue_id: str) -> None:
    """See that a queue has a job.

    Raises:
        InvalidArgument: It has not; the hint names the nearest, or those that it has.
    """
    known = list(job_ids)
    if job_id in known:
        return
    close = nearest(job_id, known)
    raise InvalidArgument(
        f"queue {queue_id} has no job '{job_id}'",
        hint=f"did you mean '{close}'?" if close else f"it has {named(known, _SHOWN)}",
    )
