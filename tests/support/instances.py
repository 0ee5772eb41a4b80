"""An instance with real queues, runners, feed and sshd, known to EC2 and with a bucket; and the
machine of a user who queries it by whole commands."""

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
from tests.support.sshd import ME, Sshd, SshUser, ssh_user, sshd
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
"""Code that Python runs first in each command: it allows connections only to loopback."""


class Person:
    """The user: a machine with one key and AWS credentials.

    Args:
        folder: For all files of the user.
        aws: The AWS server.
    """

    def __init__(self, folder: Path, aws: Server) -> None:
        self.laptop: SshUser = ssh_user(folder)
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
        """Cache folder of the user's commands."""
        return self.laptop.folder / "spawn" / "cache"

    def spawn(self, *command: str, seconds: float = 2 * SECONDS, **environ: str) -> Finished:
        """Run `spawn queue ...` to its end.

        Args:
            seconds: Timeout.
            environ: Additional environment variables.
        """
        process = self.start(*command, environ=environ)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{command} took {seconds:g} s: {process.communicate()}") from None
        return Finished(process.returncode, out, err)

    def status(self, target: str, *flags: str, **environ: str) -> Any:
        """Return the status as JSON; expects exit code 0 and no message."""
        finished = self.spawn("status", target, "--json", *flags, **environ)
        assert (finished.code, finished.err) == (0, ""), finished
        return json.loads(finished.out)

    def start(
        self, *command: str, environ: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start `spawn queue ...`; it is killed with the test.

        Args:
            environ: Additional environment variables.
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

    def override_constant(self, name: str, value: Any) -> None:
        """Change a constant in the user's commands; see `constants.override`."""
        constants.override(self.environ, name, value)

    def close(self) -> None:
        """Stop started commands; fails if any of them tried to leave loopback."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        assert not self._strangers.exists(), self._strangers.read_text()


class Instance:
    """An instance that EC2 knows, with a metadata service and an sshd. The user's configuration
    has its id, and the user's `known_hosts` its key."""

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

    def start_feed(self) -> Feed:
        """Run its feed on the port that the user queries."""
        assert self.feed is None
        self.feed = Feed(self.world, self.person.port)
        return self.feed

    def stop_feed(self, number: int = signal.SIGTERM) -> None:
        """Stop its feed."""
        if self.feed is not None:
            self.feed.stop(number)
            self.feed = None

    def queue(
        self, *jobs: dict[str, Any], queue_id: str = "q", s3: bool = True, **fields: Any
    ) -> Queue:
        """Write the configuration of a queue.

        Args:
            s3: Whether the bucket is used for log and results.
        """
        if s3:
            fields = {"result_s3_bucket": self.bucket, **fields}
        return self.world.queue(*jobs, queue_id=queue_id, **fields)

    def write_ssh_config(self, more: str = "", *, user: str = ME) -> None:
        """Write the user's SSH configuration for the instance.

        Args:
            more: Lines at the top, which take precedence.
        """
        self.person.laptop.configure(
            f"{more}\nHost i-*\n    HostName {self.server.host}\n    Port {self.server.port}\n"
            f"    User {user}\n"
        )

    def add_to_known_hosts(self) -> None:
        """Add its host key to the user's `known_hosts` under its id."""
        self.person.laptop.add_known_hosts(self.server.known_hosts_line(self.id))

    # state in EC2

    def set_state(self, state: str) -> None:
        """Stop or terminate it as far as EC2 is concerned: `stopped` or `terminated`."""
        client = self.aws.client("ec2")
        change = {"stopped": client.stop_instances, "terminated": client.terminate_instances}
        change[state](InstanceIds=[self.id])

    def tag(self, **tags: str) -> None:
        """Tag it; `spawn_queue_id` stands for `spawn:queue-id`."""
        named = [
            {"Key": key.replace("spawn_", "spawn:").replace("_", "-"), "Value": value}
            for key, value in tags.items()
        ]
        self.aws.client("ec2").create_tags(Resources=[self.id], Tags=named)

    def vanish(self, state: str = "terminated") -> None:
        """Remove all of it, as on termination: nothing answers any more."""
        self.stop_feed(signal.SIGKILL)
        self.server.stop()
        self.set_state(state)


def launch(aws: Server) -> str:
    """Launch another instance in EC2; returns its id."""
    client = aws.client("ec2")
    found = client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    return str(found["Instances"][0]["InstanceId"])


def make_bucket(aws: Server) -> str:
    """Create a bucket with an unused name."""
    name = f"spawn-results-{uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@contextmanager
def instance_in(folder: Path, aws: Server, *, public: Path | None = None) -> Iterator[Instance]:
    """An instance and a user, without queues and without a running feed.

    Args:
        public: A folder that other users may enter, for its sshd, if they are to log in.
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
        # Over SSH its own `spawn` is found as on a real instance, with the same folders.
        session["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        # Its shell reads files in its own home, not those of the developer.
        session["HOME"] = str(place)
        lines = "SetEnv " + " ".join(f'"{name}={value}"' for name, value in session.items())
        with sshd((public or folder) / "sshd", lines, allow=[person.laptop.key]) as server:
            made = Instance(instance_id, world, server, person, aws, bucket)
            made.write_ssh_config()
            made.add_to_known_hosts()
            try:
                yield made
            finally:
                made.stop_feed()
                try:
                    person.close()
                finally:
                    world.close()
