"""What becomes of the machine when its queue has ended, or its time there has."""

from collections.abc import Callable, Iterable
from datetime import datetime

from spawn.core.errors import InvalidArgument, TtlPassed
from spawn.core.replay import Row
from spawn.core.state import QueueState
from spawn.core.ttl import Ttl
from spawn.runner.poweroff import power_off
from spawn.runner.start import OnComplete
from spawn.store.instance import Instance
from spawn.store.paths import QueuePaths
from spawn.store.place import Place
from spawn.store.results.owed import owed

MISSING = "files of its attempts are not all in the object store"


class Parting:
    """Powers the machine off, unless something is on it alone.

    Args:
        wanted: What is to become of it.
        location: Where the queue's log and files are saved, for people.
    """

    def __init__(
        self, wanted: OnComplete, instance: Instance, paths: QueuePaths, location: str
    ) -> None:
        self._wanted = wanted
        self._instance = instance
        self._paths = paths
        self._location = location
        self._near = False

    def check(self, place: Place) -> None:
        """See that the machine may be powered off at the queue's end, if it is to be.

        Raises:
            InvalidArgument: It may not.
        """
        self._near = place.bucket is None
        if self._wanted != "keep" and not self._instance.on_ec2:
            raise InvalidArgument(
                f"--on-complete {self._wanted} is for EC2 instances",
                why="this machine is none, or its metadata service does not answer",
                hint="leave it out, or say `--on-complete keep`",
            )
        if self._wanted == "terminate" and self._near:
            raise InvalidArgument(
                "--on-complete terminate needs a bucket",
                why="log and results would be gone with the instance",
                hint="leave --no-s3 out, or say `--on-complete stop`",
            )

    def expect_time(
        self, state: QueueState, ttl: Ttl | None, now: datetime, *, same_boot: bool
    ) -> None:
        """See that a queue whose time here is over is not taken up again, as after a restart of the
        machine. One that was not interrupted for it yet is, and ends at once.

        Args:
            same_boot: Whether the machine was not restarted since: it may still have to be powered
                off for it.

        Raises:
            TtlPassed: It is over, and nothing is left to do.
        """
        if ttl is None or ttl.left(0.0, now) > 0:
            return
        if (state.state, state.reason) != ("interrupted", "ttl"):
            return
        if self._wanted == "keep" or not same_boot:
            raise TtlPassed(
                f"queue {state.queue_id} does not go on here",
                why=f"its time on this machine (--ttl {ttl.text}) has passed",
                hint="a later --ttl, or none, lets it",
            )

    def due(self, state: QueueState) -> bool:
        """Whether the machine is to be powered off, now that the queue is in this state."""
        ends = state.ended or (state.state, state.reason) == ("interrupted", "ttl")
        return ends and self._wanted != "keep"

    def part(
        self,
        state: QueueState,
        rows: Iterable[Row],
        say: Callable[[str], None],
        missing: str,
        *,
        behind: bool,
    ) -> str:
        """Power the machine off, if it is to be and nothing is on it alone.

        Args:
            rows: The whole log.
            missing: What is known to be on this machine alone; empty for nothing.
            behind: Whether the log is not all in the store.

        Returns:
            Why it is kept although it was to be powered off; empty otherwise.
        """
        if not self.due(state):
            return ""
        why = missing or self._missing(state, rows, behind=behind) or power_off(self._instance)
        if why:
            say(f"the machine is NOT powered off: {why}")
        else:
            say(f"the machine is being powered off (--on-complete {self._wanted})")
        return why

    def _missing(self, state: QueueState, rows: Iterable[Row], *, behind: bool) -> str:
        """Say what of the queue is on this machine alone; empty when nothing is."""
        if self._near:
            return ""  # all of it is, as was asked for, and the disk stays
        if behind:
            return f"its log is not all in {self._location}"
        for job_id in (*state.unsaved, *state.uploading):
            if self._paths.has(state.jobs[job_id].folder):
                return f"results of {job_id} are not in {self._location}"
        for job_id, job in state.jobs.items():
            if job.output_unsaved and self._paths.has(job.folder):
                return f"output of {job_id} is not in {self._location}"
            unsaved = job.checkpoint_unsaved and job.state != "completed"
            if unsaved and self._paths.has(job.folder):
                return f"the checkpoint of {job_id} is not in {self._location}"
        left = next(owed(state.queue_id, rows, failed_too=False), None)
        return "" if left is None else MISSING
