"""Cost of querying an instance, compared with `ssh` printing a file: loopback, one key."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.figures import Figure, alternate
from tests.support.sshd import INSTANCE, ME, missing, ssh_user, sshd
from tests.support.users import another_user, public_folder

ROUNDS = 25
CLAIM = 1.6
_SERVE = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(b"x" * 2000)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
_ASK = """
import http.client, os, sys
from spawn.cli.ssh.reach import InstanceAccess
from spawn.store.queue_dir.paths import roots
with InstanceAccess(sys.argv[1], roots(os.environ)).tunnel(int(sys.argv[2])) as tunnel:
    connection = http.client.HTTPConnection(*tunnel.address)
    connection.request("GET", "/")
    assert len(connection.getresponse().read()) == 2000
os._exit(0)
"""


def measure(folder: Path) -> Figure:
    """Time a tunnel with one request, one process each, against `ssh host cat file`."""
    what, claim = "a tunnel and one answer", f"at most {CLAIM} × `ssh host cat file`"
    how = f"{ROUNDS} processes of each in turn, over loopback; medians."
    if missing():
        sys.exit(f"{missing()} is needed for this benchmark")
    person = ssh_user(folder / "laptop")
    public = public_folder()
    data = public / "data"
    data.write_text("x" * 2000)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, public)
        server = stack.enter_context(sshd(public, allow=[person.key]))
        port = stack.enter_context(_served())
        person.map_id_to(server)
        if os.getuid() == 0:  # root's shell may read many files at startup
            name = stack.enter_context(another_user())
            text = person.config.read_text().replace(f"User {ME}", f"User {name}")
            person.config.write_text(text)
        person.add_known_hosts(
            server.known_hosts_line(INSTANCE), server.known_hosts_line(f"[127.0.0.1]:{server.port}")
        )
        cat = ["ssh", "-F", str(person.config), "-o", "BatchMode=yes", INSTANCE, f"cat {data}"]
        ask = [sys.executable, "-c", _ASK, INSTANCE, str(port)]

        def timed(command: list[str]) -> None:
            environ = {**os.environ, **person.environ}
            subprocess.run(command, env=environ, check=True, capture_output=True)

        ours, theirs = alternate(lambda: timed(ask), lambda: timed(cat), ROUNDS)
    ratio = ours / theirs
    return Figure(
        what=what,
        found=f"{ratio:.2f} × ({ours * 1e3:.0f} ms, ssh {theirs * 1e3:.0f} ms)",
        claim=claim,
        holds=ratio <= CLAIM,
        how=how,
    )


@contextmanager
def _served() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        try:
            yield int(one.stdout.readline())
        finally:
            one.kill()
