"""What is true when a process dies at a failpoint, and what happens next.

`make docs` writes `docs/crashes.md` from this table.
"""

from typing import NamedTuple

RUNNER_DEATH = "tests/crash/test_runner_death.py"
SUPERVISOR_DEATH = "tests/crash/test_supervisor_death.py"
ZYGOTE_DEATH = "tests/crash/test_zygote_death.py"
REQUESTS = "tests/crash/test_requests.py"
CAMPAIGN = "tests/crash/test_campaign.py"
STORE = "tests/faults/test_crash_points.py"


class Point(NamedTuple):
    """A failpoint.

    `next`: what the next runner does. Of a supervisor: what its runner does, which lives on.
    """

    true: str
    next: str
    tests: tuple[str, ...] = (CAMPAIGN,)


POINTS: dict[str, Point] = {
    "runner.locked": Point(
        "this runner has written nothing",
        "starts as if this runner had not existed",
    ),
    "runner.claimed": Point(
        "`queue.json` names this queue; the epoch's opening event is not in the log",
        "starts as if this runner had not existed; the claim is its own",
    ),
    "runner.owned": Point(
        "the epoch's opening event is in the log",
        "takes the next epoch",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.adopted": Point(
        "the runner is connected to the supervisors of open attempts",
        "connects to them again",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.prepared": Point(
        "a command waits at its gate; the log does not have it",
        "starts a new attempt; the gate closed, so the command never executed",
    ),
    "runner.committed": Point(
        "an attempt's start or end is in the log; nothing was done about it",
        "after a start: reads the record, which has `began: false`, writes `JobInterrupted` "
        "(`never_began`) and starts a new attempt",
    ),
    "runner.went": Point(
        "the command executes",
        "waits for it, or reads its record",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.ended": Point(
        "the attempt's record is written; its outcome is not in the log",
        "reads the record",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.collected": Point(
        "the list of results is durable",
        "lists the results again",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.outcome": Point(
        "the outcome is in the log; the attempt's files are not in the object store",
        "uploads them",
        (CAMPAIGN, RUNNER_DEATH),
    ),
    "runner.published": Point(
        "the attempt's files are in the object store; the log does not say so",
        "uploads them again; existing objects are kept",
    ),
    "runner.requested": Point(
        "a request was read",
        "reads it again",
        (REQUESTS,),
    ),
    "runner.answered": Point(
        "the answer is in the log; the request is still a file",
        "recognizes the request by its id and deletes the file",
        (REQUESTS,),
    ),
    "runner.stopping": Point(
        "supervisors were told to stop, with the cause",
        "reads the cause from the record",
        (REQUESTS,),
    ),
    "runner.finished": Point(
        "the queue's end is in the log",
        "has nothing left to do",
    ),
    "publisher.collecting": Point(
        "the command has ended; its results are not listed",
        "lists them",
    ),
    "publisher.manifest": Point(
        "the list of results is durable",
        "lists them again",
    ),
    "publisher.logs": Point(
        "output, exit code and metadata are in the object store",
        "continues with the results",
    ),
    "publisher.file": Point(
        "some results are in the object store",
        "skips them by name",
    ),
    "publisher.uploaded": Point(
        "all results are in the object store; the log does not say so",
        "finds all of them there and writes `ResultsUploaded`",
    ),
    "replica.claiming": Point(
        "the opening event is in the log, not in the store; the lease is unchanged",
        "at home: ships it; elsewhere: the epoch never existed",
        (STORE,),
    ),
    "replica.claimed": Point(
        "the lease names the new epoch; no segment has it",
        "takes an epoch after the lease's",
        (STORE,),
    ),
    "replica.shipping": Point(
        "events are durable here; the next segment is not in the store",
        "at home: ships them; elsewhere: they are lost, and the store has everything before them",
        (STORE,),
    ),
    "replica.shipped": Point(
        "the segment is in the store; the lease names an older head",
        "finds the segment, compares it line by line, continues after it",
        (STORE,),
    ),
    "replica.packing": Point(
        "eight segments are in the store, no pack of them",
        "packs the whole log; readers miss nothing",
        (STORE,),
    ),
    "replica.packed": Point(
        "the pack is in the store beside its segments",
        "keeps the pack",
        (STORE,),
    ),
    "replica.draining": Point(
        "the whole log is in the store; the lease is not handed back",
        "at home: continues at once; elsewhere: may take over when the lease expires, because no "
        "attempt is open",
        (STORE,),
    ),
    "supervisor.forked": Point(
        "a command waits at its gate for an order",
        "uses another supervisor",
        (CAMPAIGN, ZYGOTE_DEATH),
    ),
    "supervisor.ordered": Point(
        "a command waits at its gate for an order",
        "uses another supervisor",
        (CAMPAIGN, ZYGOTE_DEATH),
    ),
    "supervisor.folder": Point(
        "the attempt's folder, lock and record block exist",
        "uses another supervisor",
    ),
    "supervisor.ready": Point(
        "the command knows what it will execute",
        "uses another supervisor; after `JobStarted`: the attempt is `lost`",
    ),
    "supervisor.went": Point(
        "the command executes",
        "kills every process that carries the token; the attempt is `lost`",
        (CAMPAIGN, SUPERVISOR_DEATH),
    ),
    "supervisor.stopping": Point(
        "the supervisor was told to stop the attempt; the cause is not recorded",
        "the attempt is `lost`",
    ),
    "supervisor.stopped": Point(
        "the cause is in the record; the process tree was signalled",
        "kills the rest; the recorded cause counts",
        (CAMPAIGN, SUPERVISOR_DEATH),
    ),
    "supervisor.ended": Point(
        "the command has ended; there is no record",
        "the attempt is `lost`: its outcome is not guessed",
    ),
    "supervisor.swept": Point(
        "the command's process tree is gone; there is no record",
        "the attempt is `lost`: its outcome is not guessed",
    ),
    "supervisor.drained": Point(
        "the output is complete; there is no record",
        "the attempt is `lost`: its outcome is not guessed",
    ),
    "supervisor.recorded": Point(
        "the record is written",
        "reads the record",
    ),
}
"""Every name of `spawn.store.failpoints`, in the same order."""
