"""An instance with everything that is real of it: queues, runners, a feed, an sshd, EC2 and a
bucket that know it; and the machine of a person who asks it by whole commands."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support import constants, warm
from tests.support.ec2 import IMAGE
from tests.support.feeds import Feed
from tests.support.imds import ENDPOINT, metadata
from tests.support.queues import SECONDS, Finished, Queue, World
from tests.support.s3 import Server, free_port
from tests.support.sshd import ME, Laptop, Sshd, laptop, sshd
from tests.support.warm import SPAWN

REGION = "us-east-1"
_GUARD = """\
import sys

def _guard(event, arguments):
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    if not str(arguments[1][0]).startswith(("127.", "::1", "localhost")):
        with open({file!r}, "a") as file:
            file.write(f"{{arguments[1]}} by {{sys.argv}}\\n")
        raise OSError(f"{{arguments[1]}} is not loopback")

sys.addaudithook(_guard)
"""
"""What Python runs first in each command: it connects to loopback or not at all."""


class Person:
    """Who asks: a machine of their own, with one key, and AWS credentials.

    Args:
        folder: For all that is theirs.
        aws: The server that is AWS to them.
    """

    def __init__(self, folder: Path, aws: Server) -> None:
        self.laptop: Laptop = laptop(folder)
        self.port = free_port()
        guard = folder / "guard"
        guard.mkdir()
        self._strangers = folder / "strangers"
        (guard / "sitecustomize.py").write_text(_GUARD.format(file=str(self._strangers)))
        self.environ = {
            **self.laptop.environ,
            **aws.environ,
            "PYTHONPATH": str(guard),
            "SPAWN_FEED_PORT": str(self.port),
            "TZ": "UTC",
        }
        self.started: list[subprocess.Popen[str]] = []

    @property
    def cache(self) -> Path:
        """What commands keep for the next ones."""
        return self.laptop.folder / "spawn" / "cache"

    def spawn(self, *command: str, seconds: float = 2 * SECONDS, **environ: str) -> Finished:
        """Run `spawn queue ...` to its end.

        Args:
            seconds: That it may take.
            environ: On top of the person's.
        """
        process = self.start(*command, environ=environ)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{command} took {seconds:g} s: {process.communicate()}") from None
        return Finished(process.returncode, out, err)

    def status(self, target: str, *flags: str, **environ: str) -> Any:
        """The status as JSON; exit code 0 and nothing said beside it."""
        finished = self.spawn("status", target, "--json", *flags, **environ)
        assert (finished.code, finished.err) == (0, ""), finished
        return json.loads(finished.out)

    def start(
        self, *command: str, environ: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start `spawn queue ...`; it is ended with the test.

        Args:
            environ: On top of the person's.
            options: For `Popen`.
        """
        settings: dict[str, Any] = {
            "env": {**self.environ, **(environ or {})},
            "cwd": self.laptop.folder,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **options,
        }
        process = warm.spawn([SPAWN, "queue", *command], **settings)
        self.started.append(process)
        return process

    def hurry(self, name: str, value: Any) -> None:
        """Change a constant in the person's commands; see `constants.hurry`."""
        constants.hurry(self.environ, name, value)

    def close(self) -> None:
        """End what was started; fails when any of it wanted to leave loopback."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        assert not self._strangers.exists(), self._strangers.read_text()


class Instance:
    """An instance: EC2 knows it, its metadata service says so to what runs on it, its sshd lets the
    person in, whose configuration leads to it by its id and whose `known_hosts` have its key."""

    def __init__(
        self,
        instance_id: str,
        world: World,
        server: Sshd,
        person: Person,
        aws: Server,
        bucket: str,
    ) -> None:
        self.id = instance_id
        self.world = world
        self.server = server
        self.person = person
        self.aws = aws
        self.bucket = bucket
        self.feed: Feed | None = None

    def serve(self) -> Feed:
        """Run its feed, on the port on which the person asks."""
        assert self.feed is None
        self.feed = Feed(self.world, self.person.port)
        return self.feed

    def silence(self, number: int = signal.SIGTERM) -> None:
        """End its feed."""
        if self.feed is not None:
            self.feed.stop(number)
            self.feed = None

    def queue(
        self, *jobs: dict[str, Any], queue_id: str = "q", s3: bool = True, **fields: Any
    ) -> Queue:
        """Write a configuration of a queue of it.

        Args:
            s3: Whether it has the bucket for its log and results.
        """
        if s3:
            fields = {"result_s3_bucket": self.bucket, **fields}
        return self.world.queue(*jobs, queue_id=queue_id, **fields)

    def leads(self, more: str = "", *, user: str = ME) -> None:
        """Have the person's configuration lead to it.

        Args:
            more: Lines on top, which count first.
        """
        self.person.laptop.configure(
            f"{more}\nHost i-*\n    HostName {self.server.host}\n    Port {self.server.port}\n"
            f"    User {user}\n"
        )

    def is_known(self) -> None:
        """Put its host key into the person's `known_hosts`, under its id."""
        self.person.laptop.knows(self.server.known(self.id))

    # what EC2 says

    def becomes(self, state: str) -> None:
        """Stop or terminate it, as far as EC2 is concerned: `stopped` or `terminated`."""
        client = self.aws.client("ec2")
        change = {"stopped": client.stop_instances, "terminated": client.terminate_instances}
        change[state](InstanceIds=[self.id])

    def tag(self, **tags: str) -> None:
        """Tag it; `spawn_queue_id` is `spawn:queue-id`."""
        named = [
            {"Key": key.replace("spawn_", "spawn:").replace("_", "-"), "Value": value}
            for key, value in tags.items()
        ]
        self.aws.client("ec2").create_tags(Resources=[self.id], Tags=named)

    def vanish(self, state: str = "terminated") -> None:
        """Take all of it away, as when it is terminated: nobody answers any more."""
        self.silence(signal.SIGKILL)
        self.server.stop()
        self.becomes(state)


def launch(aws: Server) -> str:
    """Have EC2 know another instance, which runs; returns its id."""
    client = aws.client("ec2")
    found = client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    return str(found["Instances"][0]["InstanceId"])


def make_bucket(aws: Server) -> str:
    """Make a bucket of a name that nobody has."""
    name = f"spawn-results-{uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@contextmanager
def instance_in(folder: Path, aws: Server, *, public: Path | None = None) -> Iterator[Instance]:
    """An instance and a person; nothing is run on it yet, and no feed serves.

    Args:
        public: For its sshd, where other users are to log in too: a folder that they may enter.
    """
    instance_id = launch(aws)
    bucket = make_bucket(aws)
    person = Person(folder / "laptop", aws)
    document = {"instanceId": instance_id, "region": REGION}
    with metadata(json.dumps(document).encode()) as imds:
        place = folder / "instance"
        place.mkdir()
        environ = {
            **aws.environ,
            "AWS_EC2_METADATA_DISABLED": "false",
            ENDPOINT: imds.endpoint,
            "TZ": "UTC",
        }
        world = World(place, environ=environ)
        session = {**environ, "SPAWN_HOME": str(world.home), "BASH_ENV": world.environ["BASH_ENV"]}
        # Over SSH its own `spawn` is found as on a real one, and knows the same folders.
        session["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        # Its shell reads what is in its own home, and not what the person has who runs the tests.
        session["HOME"] = str(place)
        lines = "SetEnv " + " ".join(f'"{name}={value}"' for name, value in session.items())
        with sshd((public or folder) / "sshd", lines, allow=[person.laptop.key]) as server:
            made = Instance(instance_id, world, server, person, aws, bucket)
            made.leads()
            made.is_known()
            try:
                yield made
            finally:
                made.silence()
                try:
                    person.close()
                finally:
                    world.close()
