"""Powers off the machine when its queue has ended or the queue's time on it is over."""

import os
import subprocess
from collections.abc import Callable, Iterable
from datetime import datetime

from spawn.core.domain.replay import Row
from spawn.core.domain.state import QueueState
from spawn.core.errors import InvalidArgument, TtlExpired
from spawn.core.values.ttl import Ttl
from spawn.runner.runner_process import OnComplete
from spawn.store.aws.this_machine import Instance, is_ec2_hardware
from spawn.store.objects.location import StoreLocation
from spawn.store.programs import find_program
from spawn.store.queue_dir.paths import QueuePaths
from spawn.store.results.pending_uploads import pending_uploads

MISSING = "some files of its attempts are not in the object store"


class MachineShutdown:
    """Powers off the machine, unless it has the only copy of something.

    Args:
        on_complete: The value of `--on-complete`.
        location: Where the queue's log and files are saved, for messages.
    """

    def __init__(
        self, on_complete: OnComplete, instance: Instance, paths: QueuePaths, location: str
    ) -> None:
        self._on_complete = on_complete
        self._instance = instance
        self._paths = paths
        self._location = location
        self._is_local = False

    def check(self, place: StoreLocation) -> None:
        """Check that `--on-complete` is possible on this machine.

        Raises:
            InvalidArgument: It is not.
        """
        self._is_local = place.bucket is None
        if self._on_complete != "keep" and not self._instance.on_ec2:
            raise InvalidArgument(
                f"--on-complete {self._on_complete} is for EC2 instances",
                why="this machine is not one, or its metadata service does not answer",
                hint="omit it, or use `--on-complete keep`",
            )
        if self._on_complete == "terminate" and self._is_local:
            raise InvalidArgument(
                "--on-complete terminate needs a bucket",
                why="the log and results would be lost with the instance",
                hint="omit --no-s3, or use `--on-complete stop`",
            )

    def check_ttl(
        self, state: QueueState, ttl: Ttl | None, now: datetime, *, same_boot: bool
    ) -> None:
        """Refuse to resume a queue that its expired `ttl` has interrupted.

        If the `ttl` has expired but has not interrupted the queue yet, the runner starts and
        interrupts it.

        Args:
            same_boot: Whether the queue last ran in the current boot of this machine. Then the
                machine may still have to be powered off.

        Raises:
            TtlPassed: The time is over, and nothing is left to do.
        """
        if ttl is None or ttl.seconds_left(0.0, now) > 0:
            return
        if (state.state, state.reason) != ("interrupted", "ttl"):
            return
        if self._on_complete == "keep" or not same_boot:
            raise TtlExpired(
                f"queue {state.queue_id} cannot resume on this machine",
                why=f"its time here (--ttl {ttl.text}) is over",
                hint="use a later --ttl, or none",
            )

    def due(self, state: QueueState) -> bool:
        """Whether to power off the machine when the runner leaves the queue in this state."""
        ends = state.ended or (state.state, state.reason) == ("interrupted", "ttl")
        return ends and self._on_complete != "keep"

    def power_off_if_due(
        self,
        state: QueueState,
        rows: Iterable[Row],
        say: Callable[[str], None],
        missing: str,
        *,
        behind: bool,
    ) -> str:
        """Power off the machine if `due`, unless it has the only copy of something.

        Args:
            rows: The whole log.
            missing: What is known to be on this machine only; empty for nothing.
            behind: Whether some of the log is not in the store.

        Returns:
            Why the machine was not powered off although due; empty otherwise.
        """
        if not self.due(state):
            return ""
        why = missing or self._missing(state, rows, behind=behind) or power_off(self._instance)
        if why:
            say(f"the machine is NOT powered off: {why}")
        else:
            say(f"the machine is being powered off (--on-complete {self._on_complete})")
        return why

    def _missing(self, state: QueueState, rows: Iterable[Row], *, behind: bool) -> str:
        """What of the queue is on this machine only; empty for nothing."""
        if self._is_local:
            return ""  # everything is, by --no-s3, and a stopped instance keeps its disk
        if behind:
            return f"some of its log is not in {self._location}"
        for job_id in (*state.upload_failed, *state.uploading):
            if self._paths.has(state.jobs[job_id].folder):
                return f"results of {job_id} are not in {self._location}"
        for job_id, job in state.jobs.items():
            if job.output_error and self._paths.has(job.folder):
                return f"output of {job_id} is not in {self._location}"
            unsaved = job.checkpoint_error and job.state != "completed"
            if unsaved and self._paths.has(job.folder):
                return f"the checkpoint of {job_id} is not in {self._location}"
        left = next(pending_uploads(state.queue_id, rows, failed_too=False), None)
        return "" if left is None else MISSING


SECONDS = 60.0
"""Timeout for systemd to accept the command."""
_SYSTEM = ("/bin/", "/sbin/", "/usr/", "/lib/", "/opt/", "/snap/", "/nix/")


def power_off(instance: Instance) -> str:
    """Power off the machine cleanly, by the `systemctl` on PATH.

    The system's own `systemctl` is used only on EC2 hardware: environment variables can fake a
    metadata service, and must not switch off another machine.

    Returns:
        Why that is not possible; empty if the machine is being powered off.
    """
    program = find_program("systemctl")
    if program is None:
        return "there is no systemctl on PATH"
    if not instance.on_ec2:
        return "this machine is not an EC2 instance"
    if not is_ec2_hardware() and os.path.realpath(program).startswith(_SYSTEM):
        return "this machine is not EC2 hardware"
    command = [program, "poweroff"]
    if os.geteuid() != 0:
        command = [find_program("sudo") or "/usr/bin/sudo", "-n", *command]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.strip() or f"exit code {done.returncode}"
    return "" if done.returncode == 0 else f"{' '.join(command)}: {said}"
