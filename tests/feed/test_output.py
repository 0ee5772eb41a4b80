"""Output of attempts is read by byte range as it grows, and no other file is accessible."""

import io
import os
import threading
from pathlib import Path

import pytest
from tests.support.feeds import Feed, Laptop
from tests.support.queues import Queue, World, job, retry, until

from spawn.cli.support.job_output import OutputSelection, print_output
from spawn.core.errors import SpawnError
from spawn.runner.feed.output import PIECE


def _address(job_id: str = "a", attempt: int = 1, name: str = "stdout.log", query: str = "") -> str:
    return f"/v1/queues/q/output/{job_id}/{attempt}/{name}{query}"


def _printed(laptop: Laptop, job_id: str, *, follow: bool, attempt: int | None = None) -> bytes:
    out, err = io.BytesIO(), io.BytesIO()
    with laptop.open() as source:
        source.poll_seconds = 0.05
        source.refresh()
        wanted = OutputSelection(job_id=job_id, attempt=attempt, follow=follow)
        print_output(source, wanted, {"stdout.log": out, "stderr.log": err})
    return out.getvalue() + err.getvalue()


def test_a_range_has_the_bytes_of_the_file(world: World, feed: Feed) -> None:
    world.queue(job("a", "seq 1000; echo oops >&2")).run("--no-s3")
    whole = world.queues[0].stdout("a")
    status, headers, body = feed.get(_address())
    assert (status, body) == (200, whole)
    assert (headers["spawn-size"], headers["spawn-over"]) == (str(len(whole)), "1")
    assert feed.get(_address(query="?at=3000"))[2] == whole[3000:]
    assert feed.get(_address(query="?at=999999999"))[2] == b""
    assert feed.get(_address(name="stderr.log"))[2] == b"oops\n"


@pytest.mark.parametrize("follow", [False, True])
def test_output_larger_than_one_answer_is_read_completely(
    world: World, laptop: Laptop, follow: bool
) -> None:
    size = 2 * PIECE + 12345
    world.queue(job("a", f"head -c {size} /dev/urandom; printf end >&2")).run("--no-s3")
    assert _printed(laptop, "a", follow=follow) == world.queues[0].stdout("a") + b"end"


def test_each_attempt_has_its_own_output(world: World, laptop: Laptop) -> None:
    queue = world.queue(job("a", "echo $JOB_ATTEMPT; [ $JOB_ATTEMPT = 3 ]", retry=retry(3)))
    assert queue.run("--no-s3").code == 0
    assert [_printed(laptop, "a", follow=False, attempt=n) for n in (1, 2, 3)] == [
        b"1\n", b"2\n", b"3\n"
    ]  # fmt: skip


def test_follow_prints_the_complete_output(world: World, laptop: Laptop) -> None:
    script = f"echo one; {until('two')}; echo two; {until('three')}; echo three; printf four"
    queue = world.queue(job("a", script)).detach("--no-s3")
    queue.wait_executing("a")
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(_printed(laptop, "a", follow=True)))
    thread.start()
    world.release("two")
    queue.until(lambda: b"two" in queue.stdout("a"), "more output")
    world.release("three")
    thread.join(60)
    assert found == [b"one\ntwo\nthree\nfour"]
    queue.wait_idle()


def test_a_waiting_request_returns_on_new_output_and_at_the_end(world: World, feed: Feed) -> None:
    queue = world.queue(job("a", f"echo one; {until('two')}; echo two; {until('end')}"))
    queue.detach("--no-s3")
    queue.wait_executing("a")
    queue.until(lambda: queue.stdout("a") == b"one\n", "output")
    answers: list[tuple[dict[str, str], bytes]] = []

    def ask() -> None:
        answers.append(feed.get(_address(query="?at=4&wait=25"))[1:])
        answers.append(feed.get(_address(query="?at=8&wait=25"))[1:])

    thread = threading.Thread(target=ask)
    thread.start()
    world.release("two")
    queue.until(lambda: bool(answers), "an answer")
    world.release("end")
    thread.join(60)
    assert [body for _, body in answers] == [b"two\n", b""]
    assert [headers["spawn-over"] for headers, _ in answers] == ["0", "1"]
    queue.wait_idle()


@pytest.fixture
def queue(world: World) -> Queue:
    """A queue that has ended."""
    made = world.queue(job("a", "echo out"))
    assert made.run("--no-s3").code == 0
    return made


def _refused(feed: Feed, target: str) -> None:
    status, _, body = feed.get(target)
    assert status == 404
    assert b"is not on this machine" in body


def test_an_attempt_that_never_ran_has_no_output(queue: Queue, feed: Feed) -> None:
    _refused(feed, _address(attempt=2))
    _refused(feed, _address(job_id="b"))


def test_no_link_is_followed_out_of_a_queues_folder(
    queue: Queue, feed: Feed, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "stdout.log").write_text("secret")
    (secret / "lock").touch()
    attempt = Path(queue.attempt("a").folder)
    file = attempt / "stdout.log"
    file.rename(attempt / "kept")
    file.symlink_to(secret / "stdout.log")
    _refused(feed, _address())
    file.unlink()
    os.mkfifo(file)
    _refused(feed, _address())
    file.unlink()
    file.mkdir()
    _refused(feed, _address())
    file.rmdir()
    attempt.rename(attempt.with_name("aside"))
    attempt.symlink_to(secret)
    _refused(feed, _address())
    jobs = attempt.parent
    attempt.unlink()
    (jobs / "aside").rename(attempt)
    jobs.rename(jobs.with_name("elsewhere"))
    jobs.symlink_to(jobs.with_name("elsewhere"))
    _refused(feed, _address())
    jobs.unlink()
    jobs.with_name("elsewhere").rename(jobs)
    (attempt / "kept").rename(file)
    assert feed.get(_address())[2] == b"out\n"


def test_a_named_pipe_in_place_of_a_log_does_not_block_the_feed(world: World, feed: Feed) -> None:
    queue = world.queue(job("a", f"echo step 1 of 2; {until('end')}")).detach("--no-s3")
    queue.wait_executing("a")
    queue.until(lambda: bool(queue.stdout("a")), "output")
    for path in (queue.paths.job_log("a"), Path(queue.attempt("a").folder) / "progress"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    assert feed.get("/v1/queues/q")[0] == 200
    world.release("end")
    queue.wait_idle()


def test_deleted_output_is_reported(queue: Queue, laptop: Laptop) -> None:
    (Path(queue.attempt("a").folder) / "stdout.log").unlink()
    with pytest.raises(SpawnError) as caught:
        _printed(laptop, "a", follow=False)
    assert "has no bucket" in str(caught.value)
