"""No credential, and no value that a job's `environment` refers to, is written anywhere.

The tests search everything that a queue leaves byte by byte: each file of its machine, each object
in the store, the commands' output, and the command lines of its processes.
"""

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.machines import Machines
from tests.support.queues import SECONDS, Finished, World, job, retry, until
from tests.support.wait import wait_until

VALUE = "marker-of-the-value-3f9a1c"
KEY = "marker-of-the-secret-key-5b7d2e/+40"
TOKEN = "marker-of-the-session-token-8c1e6f//=="
PASSWORD = "marker-of-the-password-2d4b9a"
TROUBLE = "cannot be copied to"
NOWHERE = "http://127.0.0.1:1"
MARKERS = [each.encode() for each in (VALUE, KEY, TOKEN, PASSWORD)]
SIGNS = (b"AWS4-HMAC", b"X-Amz-Signature", b"Signature=")
"""Parts of a signed request."""
SECRETS = {
    "MY_SECRET": VALUE,
    "AWS_SECRET_ACCESS_KEY": KEY,
    "AWS_SESSION_TOKEN": TOKEN,
}


def _leaks(data: bytes) -> list[str]:
    return [marker.decode() for marker in MARKERS if marker in data]


def _files(world: World) -> Iterator[tuple[str, bytes]]:
    for path in sorted(world.folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()


def _command_lines(world: World) -> Iterator[tuple[str, bytes]]:
    for pid in world.processes():
        with suppress(OSError):  # it has just ended
            yield f"process {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()


def _with_password(endpoint: str) -> str:
    return endpoint.replace("http://", f"http://user:{PASSWORD}@")


def _said(done: Finished) -> tuple[str, bytes]:
    return done.err, (done.out + done.err).encode()


@pytest.mark.cold
def test_a_queue_leaves_no_secret_anywhere(machines: Machines) -> None:
    a = machines.machine()
    a.environ |= {**SECRETS, "AWS_ENDPOINT_URL": _with_password(machines.proxy.endpoint)}
    digest = sha256(VALUE.encode()).hexdigest()
    queue = a.queue(
        job(
            "knows",
            f'{until("go")}; echo "$(printf %s "$TOKEN" | sha256sum)" > seen; head -1 seen',
            environment={"TOKEN": "${MY_SECRET}", "BOTH": "a ${MY_SECRET} b"},
            result_files=["seen"],
        ),
        job("fails", "echo oops >&2; exit 3", retry=retry(2), environment={"T": "${MY_SECRET}"}),
        job("lacks", "true", environment={"T": "${MY_SECRET}${NOT_SET}"}),
        job("slow", "sleep 60", timeout="200ms", environment={"T": "${MY_SECRET}"}),
        job("large", "true", environment={"T": "${BIG}${BIG}"}),
        on_failure="continue",
        max_parallel=5,
    )
    a.environ["BIG"] = VALUE + "y" * 100_000
    found: list[tuple[str, bytes]] = []
    with machines.proxy.fault("403", "PUT", key="/results/"):
        process = queue.start()
        queue.wait_executing("knows")
        found += list(_command_lines(a))
        assert len(found) > 3, "the runner, the zygote, a supervisor, a command"
        with machines.proxy.outage():
            queue.until(lambda: TROUBLE in queue.describe(), "the store is missed")
            for command in (("verify", "q", "--from-s3"), ("results", "q"), ("status", "q")):
                found.append(_said(a.spawn(*command, "--debug")))
        a.release("go")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    found.append(_said(Finished(1, out, err)))
    seen = (a.work / "seen").read_text().split()[0]
    assert seen == digest, "the job has the value"
    assert "AccessDenied" in queue.data("knows", "ResultsUploadFailed").error
    again = a.spawn("resume", "q", "--retry-failed", "--debug")
    assert queue.types("knows")[-1] == "ResultsUploaded"
    found.append(_said(again))
    for command in (
        ("status", "q", "--json"),
        ("history", "q"),
        ("logs", "q", "fails"),
        ("results", "q", "--output", "fetched"),
        ("verify", "q", "--from-s3"),
        ("list",),
        ("wait", "q"),
    ):
        found.append(_said(a.spawn(*command, "--debug")))
    found += _files(a)
    remote = machines.remote()
    keys = remote.keys()
    found += [(key, key.encode() + remote.read(key)) for key in keys]
    named = {Path(name).name for name, _ in found}
    assert {"events.db", "runner.log", "record", "replica.json", "lease.json"} <= named
    assert {"queue.json", "metadata.json", "manifest.json", "stderr.log"} <= named
    leaks = {name: told for name, data in found if (told := _leaks(data))}
    assert leaks == {}
    log = b"".join(data for name, data in found if name.startswith("_spawn/log/"))
    assert b"${MY_SECRET}" in log, "the reference is in the log"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ENDPOINT_URL": _with_password("http://127.0.0.1:1")},
        {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD}/x@127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": f"http://user:{PASSWORD} x@127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": f"user:{PASSWORD}@127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": f"http://127.0.0.1:1/?token={PASSWORD}"},
        {"AWS_ENDPOINT_URL": "http://b.test", "HTTP_PROXY": f"http://u:{PASSWORD}@127.0.0.1:1"},
        {"AWS_ENDPOINT_URL": "http://b.test", "HTTP_PROXY": f"http://u:{PASSWORD}/x@127.0.0.1:1"},
        {"AWS_SESSION_TOKEN": f"{TOKEN}\n"},
        {"AWS_SESSION_TOKEN": f"{TOKEN}\r\nx"},
        {"AWS_SESSION_TOKEN": f"{TOKEN}€"},
        {"AWS_ACCESS_KEY_ID": f"{KEY}\n"},
        {"AWS_SECRET_ACCESS_KEY": f"{KEY}€\n"},
    ],
    ids=lambda environ: "-".join(environ),
)
def test_errors_of_an_unreachable_store_contain_no_secret(
    machines: Machines, environ: dict[str, str]
) -> None:
    a = machines.machine()
    a.environ |= {"AWS_ENDPOINT_URL": NOWHERE, **environ}
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        a.environ.setdefault(name, "")
        if name not in environ:
            del a.environ[name]
    queue = a.queue(job("j", "true"))
    process = queue.start("--debug")
    said = queue.paths.runner_log
    wait_until(
        lambda: process.poll() is not None or (said.exists() and TROUBLE in said.read_text()),
        seconds=SECONDS,
        what="it is refused, or waits",
    )
    machines.kill(a)
    out, err = process.communicate(timeout=30)
    found = [("run", (out + err).encode()), *_files(a)]
    read = a.spawn("verify", "q", "--from-s3", "--debug")
    assert read.code == 1
    assert "Error: " in read.err
    assert "Hint: " in read.err
    found.append(_said(read))
    assert {name: told for name, data in found if (told := _leaks(data))} == {}


def test_errors_of_failed_downloads_contain_no_secret(
    machines: Machines,
) -> None:
    machines.override_constant("spawn.store.results.download_object.MOST_SECONDS", 0.1)
    a = machines.machine()
    a.environ |= SECRETS
    queue = a.queue(job("j", "seq 9 > a; seq 8 > b", result_files=["a", "b"]))
    assert queue.run().code == 0
    found = []
    for fault in ("403", "500", "reset"):
        asked = len(machines.proxy.asked)
        with machines.proxy.fault(fault, "GET", key="/results/"):
            got = a.spawn("results", "q", "-o", fault, "--debug")
        assert len(machines.proxy.asked) > asked
        assert (got.code, "j/results/a: " in got.err) == (1, True), got.err
        found.append(_said(got))
    found += _files(a)
    signs = {name: sign for name, data in found for sign in SIGNS if sign in data}
    assert signs == {}
    assert {name: told for name, data in found if (told := _leaks(data))} == {}
