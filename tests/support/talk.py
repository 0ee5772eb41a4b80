"""A server on loopback that sends exactly the bytes of the test in answer to each request."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

RawAnswer = Callable[[str], bytes | None]
"""Returns the answer to a request's head; None for no answer on an open connection."""


class RawServer(Struct, frozen=True):
    """The server, and the heads of its requests. `connections` has its connections."""

    port: int
    asked: list[str]
    connections: list[int]


@contextmanager
def raw_server(says: RawAnswer, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve during the block. After an answer that ends in `CLOSE` the connection is closed."""
    asked: list[str] = []
    connections: list[int] = []
    held: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with suppress(OSError):
            connection = tls.wrap_socket(sock, server_side=True) if tls else sock
            held.append(connection)
            with connection.makefile("rb") as file:
                while head := _head(file):
                    asked.append(head)
                    answer = says(asked[-1])
                    if answer is None:
                        continue
                    connection.sendall(answer.removesuffix(CLOSE))
                    if answer.endswith(CLOSE):
                        connection.shutdown(socket.SHUT_RDWR)
                        return

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listening.accept()
                held.append(sock)
                connections.append(1)
                threads.append(threading.Thread(target=serve, args=(sock,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield RawServer(listening.getsockname()[1], asked, connections)
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for each in held:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for each in held:
                each.close()


CLOSE = b"\0close\0"


def _head(file: BinaryIO) -> str:
    """Read the next request's head; empty at the end."""
    lines = []
    while (line := file.readline()) not in (b"", b"\r\n"):
        lines.append(line)
    return b"".join(lines).decode("latin-1")


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Create a self-signed certificate for 127.0.0.1, and a server's TLS context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both = folder / "both.pem"
    both.write_bytes(
        path.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return path, context
