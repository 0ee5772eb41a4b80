"""Every shell block of docs/commands/queue.md, as a user types it: from a launch to its results.

AWS is moto. The launched instance is a Debian that boots from its user data, with systemd,
cloud-init and its own sshd. Everything else is real. `SUBSTITUTIONS` has the substituted words.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.instances import REGION, Person
from tests.support.machine import USER, Machine, machine
from tests.support.page import PAGE, block, command, scripts
from tests.support.queues import SPAWN
from tests.support.s3 import Server
from tests.support.sshd import low_port
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.gate,
    pytest.mark.long,
    *(pytest.mark.tool(name) for name in ("jq", "debootstrap", "ssh")),
]

QUEUE = "pipeline-20260127"
SUBSTITUTIONS = {
    "i-0123456789abcdef0": "{instance}",
    "i-1234567890": "{instance}",
    "<instance-id> [flags]": "{instance}",
    "<queue-id> [flags]": QUEUE,
    "queue-20260127-140532": QUEUE,
    "--batch-queue pipeline.json": "--batch-queue pipeline.json --sync . --setup setup.sh",
    "<PID>": "{pid}",
    "sleep 30": "sleep 0.5",
}
"""Words of the page and their substitutes, as documented in its own table. `queue-xxx` and
`failed-job` are another queue on that instance and its failed job."""
SETUP = f"""\
#!/bin/sh
# The folders that the page's pipeline has its files in.
install -d -o {USER} /data /models /results /exports /tmp/results
"""
PROGRAMS = {
    "preprocess.py": """\
import argparse, json, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--input")
parser.add_argument("--output", type=pathlib.Path)
options = parser.parse_args()
print("preprocess, attempt", os.environ["JOB_ATTEMPT"], flush=True)
while not os.path.exists("/tmp/go-preprocess"):
    time.sleep(0.1)
options.output.mkdir(parents=True)
(options.output / "cleaned_data.csv").write_text("a,b\\n1,2\\n" * 1000)
(options.output / "stats.json").write_text(json.dumps({"rows": 1000}))
""",
    "train.py": """\
import argparse, pathlib, time, os
parser = argparse.ArgumentParser()
parser.add_argument("--data", type=pathlib.Path)
parser.add_argument("--epochs", type=int)
parser.add_argument("--output", type=pathlib.Path)
options = parser.parse_args()
rows = len((options.data / "cleaned_data.csv").read_text().splitlines())
for epoch in range(1, options.epochs + 1):
    print(f"Epoch {epoch}/{options.epochs}", flush=True)
    while epoch == 25 and not os.path.exists("/tmp/go-train"):
        time.sleep(0.1)
(options.output / "model.pth").write_bytes(bytes(range(256)) * rows)
(options.output / "metrics.json").write_text('{"loss": 0.234}')
""",
    "evaluate.py": """\
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--model", type=pathlib.Path)
parser.add_argument("--data")
parser.add_argument("--output", type=pathlib.Path)
options = parser.parse_args()
size = options.model.stat().st_size
(options.output / "eval_results.json").write_text(f'{{"size": {size}}}')
(options.output / "confusion_matrix.png").write_bytes(b"png")
""",
    "export.py": """\
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--model", type=pathlib.Path)
parser.add_argument("--output", type=pathlib.Path)
options = parser.parse_args()
options.output.write_bytes(options.model.read_bytes()[:1000])
""",
}
FAILING = {
    "queue_id": "queue-xxx",
    "jobs": [{"job_id": "failed-job", "command": "echo no; exit 7"}],
}


class Typist:
    """Types the commands of the page, and records what was typed.

    Args:
        person: The user of the shell.
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        self.folder = person.laptop.folder / "project"
        self.folder.mkdir()
        self.words: dict[str, str] = {}
        self.said: set[str] = set()
        self.replaced: set[str] = set()
        self.environ = {
            **person.environ,
            "PATH": f"{Path(SPAWN).parent}:{person.environ['PATH']}",
            "SPAWN_SSH_FROM": "127.0.0.1/32",
        }

    def text(self, page: str) -> str:
        """Return the text to type for a text of the page."""
        self.said |= {line for line in page.splitlines() if line.strip()}
        for said, instead in SUBSTITUTIONS.items():
            if said in page:
                self.replaced.add(said)
                page = page.replace(said, instead.format(**self.words))
        return page

    def starts(self, page: str, out: Path) -> "subprocess.Popen[bytes]":
        """Type a command without waiting for its end; its output goes to a file."""
        with open(out, "wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", self.text(page)],
                env=self.environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.person.started.append(process)  # type: ignore[arg-type] # killed with the test
        return process

    def types(self, page: str, code: int = 0) -> str:
        """Type a command; returns its stdout."""
        done = subprocess.run(
            ["bash", "-c", self.text(page)],
            env=self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{page}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def typist(tmp_path: Path, aws: Server) -> Iterator[Typist]:
    """A user in a folder with the page's pipeline."""
    person = Person(tmp_path / "laptop", aws)
    made = Typist(person)
    for name, text in PROGRAMS.items():
        (made.folder / name).write_text(text)
    (made.folder / "pipeline.json").write_text(block('"queue_id": "pipeline-20260127"'))
    (made.folder / "failing.json").write_text(json.dumps(FAILING))
    (made.folder / "setup.sh").write_text(SETUP)
    try:
        yield made
    finally:
        person.close()


def launched(aws: Server) -> list[str]:
    """Return the ids of the running instances."""
    found = aws.client("ec2").describe_instances()["Reservations"]
    return [each["InstanceId"] for every in found for each in every["Instances"]]


def test_every_block_of_the_page_works(tmp_path: Path, aws: Server, typist: Typist) -> None:
    port = low_port()
    lead = f"Host i-*\n    HostName 127.0.0.1\n    Port {port}\n    User {USER}\n"
    typist.person.laptop.configure(lead)
    seen = tmp_path / "seen"
    watching = typist.starts(block("spawn launch"), seen)
    wait_until(lambda: launched(aws) or watching.poll() is not None, seconds=60)
    assert watching.poll() is None, seen.read_text()
    (instance,) = launched(aws)
    typist.words["instance"] = instance
    typist.environ["INSTANCE"] = instance  # the blocks after the first continue in its shell
    wait_until(lambda: "Status: pending" in seen.read_text(), seconds=60, what="it boots")
    feed = typist.person.port
    with machine(tmp_path, aws, instance, region=REGION, port=port, feed_port=feed) as made:
        try:
            _while_it_runs(typist, made, watching, seen)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{seen.read_text()}\n{made.describe()}") from error
        _afterwards(typist)
        typist.types(f"spawn terminate {instance} --yes")
    commands = [line for text in scripts() for line in text.splitlines() if _says(line)]
    assert [line for line in commands if line not in typist.said] == []
    assert typist.replaced == set(SUBSTITUTIONS)


def test_the_page_documents_its_placeholders() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    stated = [said for said in SUBSTITUTIONS if any(f"`{said}`" in row for row in rows)]
    assert stated == list(SUBSTITUTIONS)


def _says(line: str) -> bool:
    """Whether a line of the page is more than a comment."""
    return bool(line.strip()) and not line.startswith("# ")


def _while_it_runs(
    typist: Typist, made: Machine, watching: "subprocess.Popen[bytes]", seen: Path
) -> None:
    wait_until(lambda: "▶ preprocess" in seen.read_text(), seconds=300, what="its queue runs")
    shown = typist.types("spawn queue status $INSTANCE --json")
    typist.words["pid"] = str(json.loads(shown)["job_details"][0]["pid"])
    assert "preprocess.py" in typist.types(command("ps aux"))
    typist.types(command("kill <PID>"))
    made.inside("touch", "/tmp/go-preprocess")
    wait_until(lambda: "▶ train" in seen.read_text(), seconds=120, what="it is tried again")
    _ask_of_train(typist)
    _ask_of_the_instance(typist)
    monitored = seen.with_name("monitored")
    monitoring = typist.starts(block("while true"), monitored)
    wait_until(lambda: "Progress: 1 / 4" in monitored.read_text(), seconds=60)
    made.inside("touch", "/tmp/go-train")
    assert watching.wait(120) == 0
    assert "Status: completed" in seen.read_text()
    assert monitoring.wait(120) == 0, monitored.read_text()
    assert "Queue completed successfully!" in monitored.read_text()
    kept = typist.folder / "results" / QUEUE
    assert (kept / "train" / "results" / "model.pth").stat().st_size == 256 * 2000
    shown = typist.types("spawn queue status $INSTANCE --json")
    assert json.loads(shown)["job_details"][0]["attempts"] == 2


def _ask_of_train(typist: Typist) -> None:
    shown = json.loads(typist.types(block('select(.job_id == "train")')))
    assert (shown["job_id"], shown["status"]) == ("train", "running")
    tail = typist.folder / "tail"
    following = typist.starts(command("tail -f"), tail)
    wait_until(lambda: "Epoch 25/100" in tail.read_text(), seconds=30, what="the log is shown")
    os.killpg(following.pid, signal.SIGINT)
    assert following.wait(30) != 0
    for line in (text for text in scripts() if text.startswith("spawn queue status i-")):
        if "--watch" not in line:
            assert QUEUE in typist.types(line)


def _ask_of_the_instance(typist: Typist) -> None:
    tags = json.loads(typist.types(command("spawn list --format json")))
    assert tags["spawn:queue-id"] == QUEUE
    assert "running" in typist.types(command("# Check instance status", after=1))
    assert "spawn" in typist.types(command('grep "IAM"'))
    assert "spawn-results-us-east-1" in typist.types(command("aws s3 ls"))


def _afterwards(typist: Typist) -> None:
    for line in (text for text in scripts() if text.startswith("spawn queue status i-")):
        if "--watch" in line:
            assert "Status: completed" in typist.types(line)
    shown = typist.types(block("<instance-id> [flags]"))
    assert shown.startswith(f"Queue: {QUEUE}\n")
    assert "Downloading results for queue: " in shown
    typist.types(block("# After queue completes"))
    assert (typist.folder / "my-results" / "train" / "stdout.log").exists()
    assert (typist.folder / "train-results" / "train" / "results" / "metrics.json").exists()
    for line in (text for text in scripts() if text.startswith("spawn queue results queue-2026")):
        assert "Downloading results" in typist.types(line)
    tree = [line.split()[-1].strip("/") for line in block("├── preprocess/").splitlines()[1:]]
    kept = typist.folder / "results" / QUEUE / "preprocess"
    for name in tree[: tree.index("train")]:
        assert name == "preprocess" or list(kept.rglob(name)), name
    where = "--bucket spawn-results-us-east-1 --region us-east-1"
    run = f"cd /srv/spawn-queue/{QUEUE} && spawn queue run failing.json {where}"
    typist.types(f"spawn connect $INSTANCE -c '{run}'", code=1)
    typist.types(command("aws s3 sync"))
    failed = block("failed-job --logs-only")
    shown = typist.types(failed)
    assert '"failed-job"' in shown
    assert shown.endswith("7\n")
    assert "Failed job: failed-job" in typist.types(block("while true"), code=1)
