"""Invalid files in `requests/`: the queue continues, reports each once, and answers valid ones."""

import os
from pathlib import Path

from tests.support.queues import SECONDS, Queue, World, job, until

from spawn.core.domain.events import RequestRefused

NAMES = ["deep", "device", "fifo", "folder", "huge", "long", "caf\ufffd"]


def _put_odd_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "fifo.json")
    (folder / "device.json").symlink_to("/dev/zero")
    (folder / "deep.json").write_bytes(b"[" * 100_000)
    (folder / "folder.json").mkdir(exist_ok=True)  # `unlink` cannot remove it
    (folder / "huge.json").touch()
    os.truncate(folder / "huge.json", 3 * 1024**3)
    (folder / "long.json").write_text(f'{{"id": "long", "kind": "reset", "by": "{"x" * 200_000}"}}')
    (folder / os.fsdecode(b"caf\xe9.json")).touch()


def _refused(queue: Queue) -> list[str]:
    return [each.data.request for each in queue.events() if isinstance(each.data, RequestRefused)]


def test_a_queue_continues_with_invalid_files_among_its_requests(world: World) -> None:
    world.environ["LOGNAME"] = "\udcff"
    queue = world.queue(job("a", until("go")), job("b", "true"), kill_grace="1s")
    _put_odd_files(queue.paths.requests)
    process = queue.start()
    queue.wait_executing("a")
    process.terminate()
    assert process.wait(SECONDS) == 143
    assert sorted(_refused(queue)) == sorted(NAMES)
    _put_odd_files(queue.paths.requests)
    assert world.spawn("cancel", "q").code == 0
    assert queue.state.reason == "cancelled"
    assert len(_refused(queue)) == len(NAMES), "the next runner reports nothing new"
