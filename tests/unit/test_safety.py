"""What a queue would lose with its instance, from logs built by hand."""

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, owner, running, started

from spawn.core.domain.events import (
    Data,
    JobCompleted,
    QueueCompleted,
    QueueInterrupted,
    Results,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.reports.instance_loss import QueueCopy, losses

HERE = owner().instance_id
LOCATION = "s3://bucket/nightly/"
SAVED = ResultsUploaded(files=1, size=4, key="k", sha256="0")


def log(*after: Data, done: bool = True) -> LogBuilder:
    """A queue of one job that runs or has completed, with later events."""
    made = running(queue(job("train", result_files=("x",))))
    made.job("train", started("train"), attempt=1)
    if done:
        results = Results(files=1, size=4, sha256="0")
        made.job("train", JobCompleted(exit_code=0, wall_seconds=1.0, results=results), attempt=1)
    for each in after:
        if isinstance(each, ResultsUploaded | ResultsUploadFailed):
            made.job("train", each, attempt=1)
        else:
            made.queue(each)
    return made


def whole(made: LogBuilder) -> QueueCopy:
    """All of the queue is in S3, according to its runner."""
    return QueueCopy(
        queue_id="nightly",
        state=made.replay().state,
        seq=made.seq,
        location=LOCATION,
        stored=made.seq,
        handed_back=True,
    )


def told(copy: QueueCopy) -> list[str]:
    return [each.what for each in losses(copy, HERE)]


ENDED = whole(log(SAVED, QueueCompleted()))


def test_an_ended_queue_in_s3_loses_nothing() -> None:
    assert told(ENDED) == []


def test_a_gracefully_interrupted_queue_loses_nothing() -> None:
    assert told(whole(log(SAVED, QueueInterrupted(cause="signal")))) == []


def test_a_queue_that_never_started_loses_nothing() -> None:
    assert told(QueueCopy(queue_id="nightly", location=LOCATION)) == []


@pytest.mark.parametrize(
    ("copy", "what"),
    [
        (
            structs.replace(ENDED, unknown_why="S3 refuses us"),
            "cannot determine what of queue nightly is in S3: S3 refuses us",
        ),
        (
            structs.replace(ENDED, location=""),
            "queue nightly has no bucket: its log and results are only on the instance",
        ),
        (
            structs.replace(whole(log(done=False)), alive=True, handed_back=False),
            "queue nightly is running: train",
        ),
        (
            structs.replace(whole(log(done=False)), handed_back=False),
            "queue nightly may still be running: train",
        ),
        (
            structs.replace(whole(log()), handed_back=False, alive=True),
            "queue nightly is running",
        ),
        (
            whole(log(QueueInterrupted(cause="signal"))),
            "results of queue nightly are not in S3: train",
        ),
        (
            whole(log(ResultsUploadFailed(error="gone"), QueueInterrupted(cause="signal"))),
            "results of queue nightly are not in S3: train",
        ),
        (
            structs.replace(ENDED, unsaved=("a", "b", "c", "d", "e")),
            "output of queue nightly is not in S3: a, b, c and 2 more",
        ),
        (
            structs.replace(ENDED, stored=ENDED.seq - 1),
            "1 event of the log of queue nightly is not in S3",
        ),
        (
            structs.replace(ENDED, alive=True),
            "the runner of queue nightly is still uploading to S3",
        ),
        (
            structs.replace(ENDED, handed_back=False),
            "the runner of queue nightly has not confirmed that everything is in S3",
        ),
    ],
)
def test_each_loss_is_named(copy: QueueCopy, what: str) -> None:
    assert told(copy) == [what]


def test_several_losses_are_all_named_with_hints() -> None:
    made = whole(log(QueueInterrupted(cause="signal")))
    found = losses(structs.replace(made, stored=made.seq - 3, unsaved=("train",)), HERE)
    assert [each.what for each in found] == [
        "results of queue nightly are not in S3: train",
        "output of queue nightly is not in S3: train",
        "3 events of the log of queue nightly are not in S3",
    ]
    assert "spawn queue resume" in found[0].hint


def test_a_queue_that_was_taken_over_is_not_lost_with_its_old_instance() -> None:
    copy = structs.replace(whole(log(done=False)), alive=True, handed_back=False)
    assert losses(copy, "i-0123456789abcdef0") == ()
    assert losses(structs.replace(copy, stored=copy.seq - 1), "i-0123456789abcdef0")
