"""One schedule: a queue, machines, faults, and operators who stop, kill, lose and take over.

The seed determines all of it. At first anything may fail; then the faults stop, and the queue must
end within a day.
"""

import json
from collections.abc import Callable
from copy import copy
from datetime import timedelta
from random import Random

from tests.sim.checker import Checker, LogModel, Violation, expect
from tests.sim.host import Host, Inbox, SimBell, SimClock, SimLauncher, SimPublisher
from tests.sim.kernel import Crashed, Kernel, Process, Signal
from tests.sim.store import Bucket, Client, Faults

from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy
from spawn.core.domain.events import Draft, QueueResumed, QueueStarted
from spawn.core.domain.submission import submit
from spawn.core.errors import SpawnError
from spawn.runner.loop.queue_loop import Runner
from spawn.runner.ports import LoopMessage, ReplicatorEnded, Signalled, SpotNotice
from spawn.runner.replication.replicator import Replicator
from spawn.runner.runner_process import RunOptions
from spawn.runner.session.ownership import OwnershipCheck, previous_machine, take_ownership
from spawn.store import failpoints
from spawn.store.log.ledger import Ledger
from spawn.store.objects.interface import StoreError
from spawn.store.replica.claim import claim
from spawn.store.replica.lease import OwnedElsewhere, Owner

QUEUE_ID = "q"
TROUBLE_SECONDS = 600.0
DAY = 86_400.0
STEPS = 200_000
MAX_DRAIN = 3600.0
TERM = 15


class Schedule:
    """The schedule of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = Random(seed)
        self.kernel = kernel = Kernel()
        self.config = _config(rng)
        LogModel.lost_results = frozenset()
        LogModel.with_results = frozenset(
            job.job_id for job in self.config.jobs if job.result_files
        )
        needs = {job.job_id: job.depends_on for job in self.config.jobs}
        self.checker = Checker(
            QUEUE_ID, lambda: kernel.now, needs, durable=self.config.durability == "s3"
        )
        self.bucket = Bucket(kernel, _faults(rng), Random(rng.random()))
        self.bucket.written = self.checker.check_write
        self.crashes = rng.choice([0.0, 0.0, 0.002, 0.01])
        self.troubled = True
        self.hosts = [
            Host(kernel, name, QUEUE_ID, self.checker, Random(rng.random()), self._crashes)
            for name in ("A", "B", "C")[: rng.choice([1, 2, 2, 3])]
        ]
        self.checker.size_of = lambda place: sum(
            len(host.disk.rows()) for host in self.hosts if host.place == place
        )
        self.checker.vanished = lambda place: place not in {h.place for h in self._existing_hosts()}
        self.log_full = rng.choice([0.0, 0.0, 0.05])
        gone = rng.choice([0.0, 0.0, 0.4])
        for host in self.hosts:
            host.success = rng.choice([1.0, 0.85, 0.6])
            host.log_full = self.log_full
            host.lost_share = gone
            host.troubled = lambda: self.troubled
        self.people = Process(kernel, "people")
        self.processes = 0
        self.done = False

    def play(self) -> None:
        """Play the schedule.

        Raises:
            Violation: An invariant is violated.
        """
        failpoints.watch = self._point
        try:
            self.kernel.start(self.people, self._operate)
            for _ in range(STEPS):
                if self.done or not self.kernel.step():
                    break
            expect(self.done, f"the queue did not end in {self.kernel.now:.0f} s")
            self._check_end()
        finally:
            failpoints.watch = None

    def _crashes(self, point: str) -> bool:
        return self.troubled and self.rng.random() < self.crashes

    def _point(self, name: str) -> None:
        task = self.kernel.current
        if task is None or task.process is self.people:
            return
        if self._crashes(name):
            self.kernel.trace(f"{task.process.name} at {name}")
            task.process.kill()
            raise Crashed

    # operators

    def _operate(self) -> None:
        rng, kernel = self.rng, self.kernel
        self._start(self.hosts[0])
        while kernel.now < TROUBLE_SECONDS:
            kernel.sleep(rng.choice([1.0, 10.0, 60.0, 200.0]) * rng.uniform(0.2, 1.5))
            if self._has_ended():
                break
            rng.choice(
                [
                    *(
                        self._kill,
                        self._kill,
                        self._pause,
                        self._power_off_host,
                        self._lose_host,
                        self._stop,
                    ),
                    *(self._take, self._take, self._force, self._restart, self._restart),
                    self._interrupt_host,
                ]
            )()
        self.troubled = False
        self.bucket.faults = Faults(latency=0.05)
        for host in self.hosts:
            host.log_full = 0.0
        while not self._has_ended():
            if kernel.now > DAY:
                return
            if not any(host.running for host in self._existing_hosts()):
                host = rng.choice(self._existing_hosts())
                take = not host.disk.rows() and "_spawn/queue.json" in self.bucket.objects
                self._start(host, take=take, force=rng.random() < 0.5)
            kernel.sleep(30.0)
        self.done = True

    def _existing_hosts(self) -> list[Host]:
        return [host for host in self.hosts if host.exists]

    def _has_ended(self) -> bool:
        return self.checker.remote.ended and not any(host.running for host in self.hosts)

    def _random_host(self, running: bool) -> Host | None:
        found = [host for host in self._existing_hosts() if host.running is running]
        return self.rng.choice(found) if found else None

    def _kill(self) -> None:
        host = self._random_host(running=True)
        if host is not None and host.runner is not None:
            host.runner.kill()

    def _pause(self) -> None:
        host = self._random_host(running=True)
        if host is not None and host.runner is not None:
            if host.runner.asleep_until > self.kernel.now:
                return  # it is asleep already
            seconds = self.rng.choice([5.0, 50.0, 150.0])
            self.kernel.trace(f"{host.name} sleeps {seconds:.0f} s")
            host.runner.asleep_until = self.kernel.now + seconds
            host.runner.slept = seconds

    def _power_off_host(self) -> None:
        if self.rng.random() < 0.5:
            self.rng.choice(self._existing_hosts()).power_off()

    def _lose_host(self) -> None:
        if len(self._existing_hosts()) > 1 and self.rng.random() < 0.5:
            self.rng.choice(self._existing_hosts()).vanish()

    def _stop(self) -> None:
        host = self._random_host(running=True)
        if host is not None and host.runner is not None:
            self.kernel.trace(f"{host.name} gets a stop signal")
            host.stop()

    def _interrupt_host(self) -> None:
        """Give a spot notice, and later terminate or stop the machine."""
        host = self._random_host(running=True)
        if host is None:
            return
        seconds = self.rng.choice([120.0, 120.0, 20.0])
        self.kernel.trace(f"{host.name} has a spot notice of {seconds:.0f} s")
        host.notice(seconds)

        def take() -> None:
            if self.troubled and host.exists:
                gone = len(self._existing_hosts()) > 1 and self.rng.random() < 0.7
                host.vanish() if gone else host.power_off()

        self.kernel.at(seconds, take)

    def _take(self) -> None:
        host = self._random_host(running=False)
        if host is not None:
            self._start(host, take=True)

    def _force(self) -> None:
        host = self._random_host(running=False)
        if host is not None:
            self._start(host, take=True, force=True)

    def _restart(self) -> None:
        host = self._random_host(running=False)
        if host is not None:
            self._start(host)

    # a runner

    def _start(self, host: Host, *, take: bool = False, force: bool = False) -> None:
        self.processes += 1
        process = Process(self.kernel, f"{host.name}{self.processes}")
        host.runner = process
        process.forced = force
        host.awake_since = self.kernel.now
        how = "takes over" if take else "starts"
        self.kernel.trace(f"{process.name} {how}{' by force' if force else ''}")

        def run_process() -> None:
            try:
                nonce, against = f"{self.rng.getrandbits(64):016x}", ""
                for _ in range(5):
                    again = self._run(
                        host, process, take=take, force=force, nonce=nonce, against=against
                    )
                    if again is None:
                        break
                    against = again
                self.checker.check_exit(host)
            except StoreError as error:
                self.kernel.trace(f"{process.name}: {error}")
            except SpawnError as error:
                self.kernel.trace(f"{process.name}: {error}")
                if isinstance(error, OwnedElsewhere):
                    self.checker.check_exit(host)
            process.alive = False

        self.kernel.start(process, run_process)

    def _run(
        self,
        host: Host,
        process: Process,
        *,
        take: bool,
        force: bool,
        nonce: str,
        against: str,
    ) -> str | None:
        """Do what `runner.session` does.

        Returns:
            The nonce of the lease against which to retry the takeover; None if the run has ended.
        """
        kernel = self.kernel
        ledger = Ledger(host.disk, QUEUE_ID)
        fresh = ledger.empty
        host.client = client = Client(self.bucket, process)
        me = Owner(place=host.place, instance_id=host.name, hostname=host.name)
        inbox, clock = Inbox(kernel), SimClock(kernel, skew=len(host.name) * host.boot)
        launcher = SimLauncher(host, process, lambda: ledger.state.epoch)
        launcher.post = inbox.post

        def take_place() -> bool:
            return claim(client, self.config, by=host.place)

        owning = take_ownership(
            ledger,
            client,
            me=me,
            take=None if take else take_place,
            restore=take,
            force=force,
            end=launcher.end,
            why_terminated=lambda instance, _: "" if self._is_there(instance) else "terminated",
            say=lambda text: kernel.trace(f"{process.name} says {text}"),
            nonce=nonce,
            force_nonce=against,
        )
        if not against and owning.replica is not None and owning.replica.seen is not None:
            against = owning.replica.seen.lease.nonce
        if ledger.empty:
            drafts = submit(
                owning.config or self.config, file="q.json", file_sha256="00", version="0"
            )
            ledger.stage(drafts, at=clock.wall())
        state = ledger.state
        retry_failed = self.rng.random() < 0.3
        if state.ended:
            if owning.diverged:
                self._put_aside(host)
                return None
            behind = owning.replica is not None and owning.replica.seq < ledger.seq
            if behind and self._ship_end(host, ledger, owning, client, me, clock, nonce):
                return None
            if not (state.failed and retry_failed):
                return None
            kernel.trace(f"{process.name} retries failed jobs")
        kind = QueueStarted if state.state == "pending" else QueueResumed
        opening = kind(
            instance_id=host.name,
            hostname=host.name,
            boot_id=str(host.boot),
            version="0",
            owner=host.name,
            pid=1,
            results_location=client.location,
            place=host.place,
        )
        epoch = owning.epoch(state)
        client.raises_unknown_errors = True  # from here on only the replicator makes requests
        replicator = self._replicator(
            ledger, client, owning.replica, take_place, me, epoch, nonce, clock, inbox.post
        )
        same = state.owner is not None and state.owner.place == host.place
        runner = Runner(
            ledger=ledger,
            launcher=launcher,
            publisher=SimPublisher(host, process, inbox.post, self.bucket.saved),
            replica=replicator,
            clock=clock,
            waiter=inbox,
            opening=[Draft(opening)],
            epoch=epoch,
            fraction=host.rng.random,
            last_lines=lambda _: (),
            on_committed=lambda _: None,
            warn=lambda text: kernel.trace(f"{process.name} says {text}"),
            on_answered=lambda _: None,
            pending_uploads=[
                copy(job)
                for job in state.jobs.values()
                if job.outcome and job.token in host.folders and not job.uploaded
            ],
            plans=RunOptions(
                rebooted=same and state.owner is not None and state.owner.boot_id != str(host.boot),
                moved_from=previous_machine(state, me),
                retry_failed=retry_failed,
                leave_jobs=self.rng.random() < 0.2,
            ),
        )
        host.stop = lambda: inbox.post(Signalled(TERM))
        host.notice = lambda left: inbox.post(
            SpotNotice("terminate", clock.wall() + timedelta(seconds=left))
        )
        over = Signal(kernel)

        def replicate() -> None:
            replicator.run()
            inbox.post(ReplicatorEnded())
            over.give()

        kernel.start(process, replicate)
        state = runner.run()
        replicator.drain(MAX_DRAIN if state.ended else 30.0, hand_back=not state.running)
        kernel.wait(over, None)
        if replicator.fenced:
            for job_id in state.running:
                launcher.end(state.jobs[job_id])
            if fresh and not runner.epoch.owned and take:
                host.disk = type(host.disk)(host, QUEUE_ID)
                return against
            self._put_aside(host)
        return None

    def _replicator(
        self,
        ledger: Ledger,
        client: Client,
        found: object,
        take: Callable[[], bool],
        me: Owner,
        epoch: int,
        nonce: str,
        clock: SimClock,
        post: Callable[[LoopMessage], None],
    ) -> Replicator:
        return Replicator(
            store=client,
            queue_id=QUEUE_ID,
            log=ledger.log.rows,
            replica=found,  # type: ignore[arg-type]
            claim_place=take,
            fence=True,
            owner=me,
            epoch=epoch,
            nonce=nonce,
            clock=clock,
            bell=SimBell(self.kernel),
            fraction=self.rng.random,
            post=post,
            report=lambda _: None,
        )

    def _ship_end(
        self,
        host: Host,
        ledger: Ledger,
        owning: OwnershipCheck,
        client: Client,
        me: Owner,
        clock: SimClock,
        nonce: str,
    ) -> bool:
        """Ship the rest of an ended queue's log; returns whether another machine owns the queue."""
        replicator = self._replicator(
            ledger,
            client,
            owning.replica,
            lambda: True,
            me,
            owning.epoch(ledger.state),
            nonce,
            clock,
            lambda _: None,
        )
        replicator.committed(ledger.seq)
        replicator.drain(30.0)
        replicator.run()
        if replicator.fenced:
            self._put_aside(host)
        return bool(replicator.fenced)

    def _put_aside(self, host: Host) -> None:
        self.checker.check_fenced(host)
        host.put_aside()

    def _is_there(self, instance: str) -> bool:
        return instance in {host.name for host in self._existing_hosts()}

    # the end of the schedule

    def _check_end(self) -> None:
        remote = self.checker.remote
        self.checker.check_rate()
        expect(not remote.open, f"attempts without an outcome: {remote.open}")
        owner = remote.owners[remote.epoch]
        for command in self.checker.alive:
            # A machine from which the queue was taken may never have been used again: it was taken
            # by force, or its runner died before the store knew of the job.
            left = command.host.place != owner and not command.host.running
            expect(left, f"the queue has ended and {command.job} still runs")
        (host,) = [host for host in self.hosts if host.place == owner]
        if host.exists:
            local = [(row[3], row[2]) for row in host.disk.rows()]
            size = len(remote.lines)
            if len(local) > size and not host.running:
                # A runner resumed the ended queue and died before the store knew.
                opening = json.loads(local[size][1])["type"]
                expect(opening == "QueueResumed", f"{opening} is not in the store")
                local = local[:size]
            expect(local == remote.lines, "the replica is not the owner's log")

    def describe(self) -> str:
        """Return the schedule as text."""
        lines = [f"seed {self.seed}: {self.config.durability}, {self.bucket.faults}"]
        return "\n".join([*lines, *self.kernel.log])

    def digest(self) -> bytes:
        """Return all logs, byte for byte."""
        logs = [b"\n".join(line for _, line in self.checker.remote.lines)]
        for host in self.hosts:
            logs += [
                b"\n".join(bytes(row[2]) for row in disk.rows())
                for disk in (host.disk, *host.aside)
            ]
        return b"\n\n".join(logs)


def run(seed: int) -> Schedule:
    """Play the schedule of a seed.

    Raises:
        AssertionError: An invariant is violated; the message has the schedule.
    """
    schedule = Schedule(seed)
    try:
        schedule.play()
    except (Exception, Violation) as error:
        raise AssertionError(f"seed {seed}: {error!r}\n{schedule.describe()[-12000:]}") from error
    return schedule


def _config(rng: Random) -> QueueConfig:
    names = [f"j{number}" for number in range(rng.randint(1, 6))]
    jobs = []
    linked, results = rng.choice([0.4, 0.4, 0.7]), rng.choice([0.3, 0.3, 0.8])
    for number, name in enumerate(names):
        needs = tuple(other for other in names[:number] if rng.random() < linked)
        jobs.append(
            JobConfig(
                job_id=name,
                command="true",
                working_directory="/",
                depends_on=needs,
                retry=RetryPolicy(max_attempts=rng.choice([1, 2, 4]), base_delay=5.0),
                result_files=("r",) if rng.random() < results else (),
            )
        )
    return QueueConfig(
        jobs=tuple(jobs),
        queue_id=QUEUE_ID,
        max_parallel=rng.choice([1, 2, 3]),
        on_failure=rng.choice(["stop", "continue"]),
        durability=rng.choice(["local", "s3"]),
        kill_grace=rng.choice([0.5, 5.0]),
    )


def _faults(rng: Random) -> Faults:
    if rng.random() < 0.2:
        return Faults(latency=rng.choice([0.01, 0.1]))
    share = rng.choice([0.02, 0.1, 0.3])
    outages = tuple(
        (begin, begin + rng.choice([5.0, 70.0, 200.0]))
        for begin in sorted(rng.uniform(0, TROUBLE_SECONDS) for _ in range(rng.randint(0, 2)))
    )
    return Faults(
        refused=share * rng.random(),
        lost=share * rng.random(),
        odd=share * rng.random(),
        late=share * rng.random(),
        latency=rng.choice([0.01, 0.1, 1.0]),
        outages=outages,
    )
