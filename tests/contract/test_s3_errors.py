"""Errors of the S3 store when its server fails."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from botocore.config import Config
from tests.support.answers import Answer, RecordedRequest, answering, error
from tests.support.s3 import CREDENTIALS, free_port
from tests.support.timeouts import recorded
from tests.support.wait import call_with_timeout

from spawn.store.objects import aws, s3
from spawn.store.objects.interface import (
    AccessDenied,
    BucketNotFound,
    CredentialsExpired,
    ETagMismatch,
    InvalidResponse,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    Unavailable,
)
from spawn.store.objects.s3 import S3Store

OWNER = "123456789012"
Ask = Callable[[S3Store, Path], object]
ASKS: dict[str, Ask] = {
    "read": lambda store, _: store.read("k"),
    "open": lambda store, _: store.open("k").read(),
    "has": lambda store, _: store.has("k"),
    "list": lambda store, _: store.list("p/", "p/a"),
    "create": lambda store, _: store.create("k", b"x"),
    "replace": lambda store, _: store.replace("k", b"x", etag='"e"'),
    "put": lambda store, _: store.put("k", b"x"),
    "link": lambda store, small: store.link("k", small),
    "put_file": lambda store, small: store.put_file("k", small),
    "put_file in parts": lambda store, small: store.put_file("k", small.with_name("large")),
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "PART_BYTES", 1000)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small file with a large one beside it."""
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(b"y" * 2500)
    return tmp_path / "small"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., S3Store]:
    """Create a store at an endpoint."""

    def make(endpoint: str, **options: str) -> S3Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        return S3Store(bucket="bucket", prefix="q", **options)

    return make


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> float:
    """Short timeouts for tests; returns them."""
    seconds = 0.3
    hasty = aws.CONFIG.merge(Config(connect_timeout=seconds, read_timeout=seconds))
    monkeypatch.setattr(aws, "CONFIG", hasty)
    return seconds


every = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())


@pytest.mark.parametrize(
    ("status", "code", "raised", "hint"),
    [
        (500, "InternalError", Unavailable, ""),
        (502, "", Unavailable, ""),
        (401, "", InvalidResponse, "proxy"),
        (403, "", InvalidResponse, "proxy"),
        (404, "", InvalidResponse, "proxy"),
        (412, "", InvalidResponse, "proxy"),
        (503, "SlowDown", Unavailable, ""),
        (503, "ServiceUnavailable", Unavailable, ""),
        (429, "TooManyRequests", Unavailable, ""),
        (409, "ConditionalRequestConflict", Unavailable, ""),
        (409, "OperationAborted", Unavailable, ""),
        (400, "RequestTimeout", Unavailable, ""),
        (400, "ExpiredToken", CredentialsExpired, "aws sso login"),
        (400, "ExpiredTokenException", CredentialsExpired, "aws sso login"),
        (400, "InvalidToken", CredentialsExpired, "aws sso login"),
        (400, "TokenRefreshRequired", CredentialsExpired, "aws sso login"),
        (400, "RequestExpired", CredentialsExpired, "clock is wrong"),
        (403, "RequestTimeTooSkewed", Unavailable, "clock is wrong"),
        (403, "AccessDenied", AccessDenied, "iam"),
        (403, "InvalidAccessKeyId", AccessDenied, "--profile"),
        (403, "SignatureDoesNotMatch", AccessDenied, "--profile"),
        (404, "NoSuchBucket", BucketNotFound, "--bucket"),
        (400, "AuthorizationHeaderMalformed", AccessDenied, "--region"),
        (400, "KeyTooLongError", AccessDenied, ""),
        (403, "AllAccessDisabled", AccessDenied, ""),
    ],
)
def test_server_errors_map_to_errors_of_the_contract(
    at: Callable[..., S3Store],
    status: int,
    code: str,
    raised: type[StoreError],
    hint: str,
) -> None:
    with answering(lambda _: error(status, code)) as server, pytest.raises(StoreError) as found:
        at(server.endpoint).create("k", b"x")
    assert type(found.value) is raised
    assert code in found.value.why
    assert hint in found.value.hint


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("AWS_SESSION_TOKEN", "token\n", "--profile"),
        ("AWS_ACCESS_KEY_ID", "key\n", "--profile"),
        ("AWS_ENDPOINT_URL", "http://user:pass/word@127.0.0.1:1", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/?token=word", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL", "127.0.0.1", "AWS_ENDPOINT_URL"),
    ],
)
def test_an_invalid_setting_fails_permanently(
    at: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    hint: str,
) -> None:
    store = at(f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv(name, value)
    with pytest.raises(AccessDenied) as raised:
        store.read("k")
    assert hint in raised.value.hint
    assert not {"token", "word"} & set(str(raised.value).replace("/", " ").split())


@every
@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [(503, "SlowDown", Unavailable), (403, "AccessDenied", AccessDenied)],
)
def test_every_operation_maps_errors_and_sends_one_request(
    at: Callable[..., S3Store],
    small: Path,
    ask: Ask,
    status: int,
    code: str,
    raised: type[StoreError],
) -> None:
    with answering(lambda _: error(status, code)) as server:
        with pytest.raises(raised, match=code):
            ask(at(server.endpoint), small)
        assert len(server.asked) == 1  # retries are up to the caller


@pytest.mark.parametrize(
    ("ask", "status", "code", "raised"),
    [
        ("read", 404, "NoSuchKey", ObjectNotFound),
        ("open", 404, "NoSuchKey", ObjectNotFound),
        ("create", 412, "PreconditionFailed", ObjectExists),
        ("replace", 404, "NoSuchKey", ETagMismatch),
        ("replace", 412, "PreconditionFailed", ETagMismatch),
    ],
)
def test_expected_conditions_raise_exceptions_of_the_contract(
    at: Callable[..., S3Store],
    small: Path,
    ask: str,
    status: int,
    code: str,
    raised: type[Exception],
) -> None:
    with answering(lambda _: error(status, code)) as server, pytest.raises(raised):
        ASKS[ask](at(server.endpoint), small)


@every
def test_a_closed_port_is_unavailable(at: Callable[..., S3Store], small: Path, ask: Ask) -> None:
    with pytest.raises(Unavailable):
        ask(at(f"http://127.0.0.1:{free_port()}"), small)


@every
def test_a_silent_server_is_unavailable_after_one_timeout(
    at: Callable[..., S3Store], small: Path, ask: Ask, hurried: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with recorded() as timeouts, pytest.raises(Unavailable, match=r"[Tt]ime(d )?out"):
            call_with_timeout(lambda: ask(store, small))
        assert set(timeouts) == {hurried}
        assert _connections(silent) == 1


def _connections(listening: socket.socket) -> int:
    """Count the clients that have connected to a server that accepts none."""
    listening.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


def test_request_timeouts_are_shorter_than_a_lease() -> None:
    assert aws.CONFIG.connect_timeout + aws.CONFIG.read_timeout <= 20
    assert aws.CONFIG.retries["total_max_attempts"] == 1


READING: dict[str, Ask] = {name: ASKS[name] for name in ("read", "open")}
reading = pytest.mark.parametrize("ask", READING.values(), ids=READING.keys())


@reading
def test_a_truncated_object_is_unavailable_and_never_returned(
    at: Callable[..., S3Store], small: Path, ask: Ask
) -> None:
    broken = Answer(body=b"half", promised=8, headers={"ETag": '"e"'})
    with answering(lambda _: broken) as server, pytest.raises(Unavailable):
        ask(at(server.endpoint), small)


@reading
def test_a_stalled_object_is_unavailable_after_one_timeout(
    at: Callable[..., S3Store], small: Path, ask: Ask, hurried: float
) -> None:
    with _stalling() as endpoint, recorded() as timeouts, pytest.raises(Unavailable):
        call_with_timeout(lambda: ask(at(endpoint), small))
    assert set(timeouts) == {hurried}


@contextmanager
def _stalling() -> Iterator[str]:
    """A server that sends half an object and then stalls."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    held.append(connection)
                    connection.recv(65536)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nETag: e\r\n"
                        b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhalf"
                    )

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def test_a_slow_part_upload_may_exceed_the_connect_timeout(
    at: Callable[..., S3Store], tmp_path: Path, hurried: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads just before each timeout, five times half of one."""
    part = 8 * 1024 * 1024
    monkeypatch.setattr(s3, "PART_BYTES", part)
    (tmp_path / "file").write_bytes(b"x" * (part - 1))
    with _slow(pauses=5, seconds=hurried / 2) as (endpoint, made):
        at(endpoint).put_file("k", tmp_path / "file")
    assert made == [hurried / 2] * 5


@contextmanager
def _slow(*, pauses: int, seconds: float) -> Iterator[tuple[str, list[float]]]:
    """A server that reads one body with pauses. Yields the endpoint and the pauses that were made
    while the client was sending."""
    made: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, connection.makefile("rb") as file:
                        while line := file.readline():
                            answer(connection, file, line)

        def answer(connection: socket.socket, file, request: bytes) -> None:  # type: ignore[no-untyped-def]
            length = 0
            while (header := file.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                if name.lower() == b"expect":
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if request.startswith(b"GET"):
                body = b"<Error><Code>NoSuchKey</Code></Error>"
                connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(body))
                connection.sendall(body)
                return
            never = threading.Event()
            for _ in range(pauses):
                file.read(length // (pauses + 1))
                length -= length // (pauses + 1)
                never.wait(seconds)
                made.append(seconds)
            file.read(length)
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


# multipart uploads


def _parts(asked: RecordedRequest, complete: Answer) -> Answer:
    """S3's side of a multipart upload."""
    if asked.method == "GET":
        return error(404, "NoSuchKey")
    if asked.query.startswith("uploads"):
        body = b"<R><UploadId>u1</UploadId></R>"
        return Answer(body=body, headers={"Content-Type": "application/xml"})
    if asked.method == "PUT":
        return Answer(headers={"ETag": '"p"'})
    if asked.method == "DELETE":
        return Answer(204)
    return complete


@pytest.mark.parametrize(
    ("complete", "raised"),
    [
        (error(500, "InternalError"), Unavailable),
        (error(200, "InternalError"), Unavailable),
        (error(409, "ConditionalRequestConflict"), Unavailable),
        (error(404, "NoSuchUpload"), Unavailable),
        (error(403, "AccessDenied"), AccessDenied),
    ],
)
def test_a_multipart_upload_that_cannot_be_completed_is_aborted(
    at: Callable[..., S3Store], small: Path, complete: Answer, raised: type[StoreError]
) -> None:
    with answering(lambda asked: _parts(asked, complete)) as server:
        with pytest.raises(raised):
            at(server.endpoint).put_file("k", small.with_name("large"))
        assert [asked.method for asked in server.asked] == [
            *("GET", "GET", "POST", "PUT", "PUT", "PUT", "POST", "DELETE")
        ]
        assert server.asked[-1].query == "uploadId=u1"
        assert server.asked[-2].headers["if-none-match"] == "*"


def test_a_failed_part_aborts_the_upload_even_if_the_abort_fails(
    at: Callable[..., S3Store], small: Path
) -> None:
    def answer(asked: RecordedRequest) -> Answer:
        if asked.query.startswith("partNumber=2") or asked.method == "DELETE":
            return error(503, "SlowDown")
        return _parts(asked, Answer())

    with answering(answer) as server:
        with pytest.raises(Unavailable):
            at(server.endpoint).put_file("k", small.with_name("large"))
        assert server.asked[-1].method == "DELETE"


def test_a_file_of_any_size_stays_within_the_part_limit() -> None:
    for size in (0, 1, 156 << 30, 5 << 40):
        assert s3.part_bytes(size) >= s3.PART_BYTES
        assert -(-size // s3.part_bytes(size)) <= s3.MAX_PARTS


# expected bucket owner


def _all_well(asked: RecordedRequest) -> Answer:
    if asked.method == "GET" and "list-type" in asked.query:
        xml = {"Content-Type": "application/xml"}
        return Answer(body=b"<L><IsTruncated>false</IsTruncated></L>", headers=xml)
    if asked.method == "GET" and "range" not in asked.headers:
        date = {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "ETag": '"e"'}
        return Answer(body=b"x", headers=date)
    complete = b'<C><Key>k</Key><ETag>"e"</ETag></C>'
    done = Answer(body=complete, headers={"Content-Type": "application/xml", "ETag": '"e"'})
    return _parts(asked, done)


@every
def test_every_request_has_the_expected_bucket_owner(
    at: Callable[..., S3Store], small: Path, ask: Ask
) -> None:
    with answering(_all_well) as server:
        ask(at(server.endpoint, owner=OWNER), small)
        assert server.asked
        for asked in server.asked:
            assert asked.headers.get("x-amz-expected-bucket-owner") == OWNER, asked


def test_the_expected_owner_comes_from_the_environment_and_only_on_aws(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(_all_well) as server:
        at(server.endpoint).read("k")
        monkeypatch.setenv("SPAWN_BUCKET_OWNER", OWNER)
        at(server.endpoint).read("k")
        told = [asked.headers.get("x-amz-expected-bucket-owner") for asked in server.asked]
        assert told == [None, OWNER]


@every
def test_a_bucket_of_another_owner_is_denied(
    at: Callable[..., S3Store], small: Path, ask: Ask
) -> None:
    def answer(asked: RecordedRequest) -> Answer:
        theirs = asked.headers.get("x-amz-expected-bucket-owner") != "999999999999"
        return error(403, "AccessDenied") if theirs else _all_well(asked)

    with answering(answer) as server, pytest.raises(AccessDenied):
        ask(at(server.endpoint, owner=OWNER), small)


@pytest.mark.parametrize(
    ("endpoint", "is_aws"),
    [
        ("https://s3.eu-west-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", True),
        ("http://127.0.0.1:9000", False),
        ("https://amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
    ],
)
def test_aws_is_distinguished_from_other_servers(endpoint: str, is_aws: bool) -> None:
    class Meta:
        endpoint_url = endpoint

    class Client:
        meta = Meta

    assert aws.on_aws(Client) is is_aws


# credentials and configuration


@every
def test_missing_credentials_are_denied_with_a_hint(
    at: Callable[..., S3Store], small: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with answering(_all_well) as server:
        with pytest.raises(AccessDenied, match="credentials") as found:
            ask(at(server.endpoint), small)
        assert server.asked == []
    assert "--profile" in found.value.hint


def test_an_invalid_profile_endpoint_or_configuration_is_denied(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(AccessDenied, match="nobody"):
        at("http://127.0.0.1:9", profile="nobody").has("k")
    with pytest.raises(AccessDenied, match="nonsense") as found:
        at("nonsense").has("k")
    assert "AWS_ENDPOINT_URL" in found.value.hint
    (tmp_path / "config").write_text("no = section\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(AccessDenied):
        at("http://127.0.0.1:9").has("k")


def test_temporarily_unavailable_credentials_are_unavailable(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile p]\ncredential_process = false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Unavailable):
        at("http://127.0.0.1:9", profile="p").has("k")


@pytest.mark.parametrize("name", ["create", "put", "read", "has", "put_file"])
def test_a_key_that_is_not_unicode_is_denied(
    at: Callable[..., S3Store], small: Path, name: str
) -> None:
    key = "results/\udcff"
    ask: dict[str, Callable[[S3Store], object]] = {
        "create": lambda store: store.create(key, b""),
        "put": lambda store: store.put(key, b""),
        "read": lambda store: store.read(key),
        "has": lambda store: store.has(key),
        "put_file": lambda store: store.put_file(key, small),
    }
    with answering(_all_well) as server, pytest.raises(AccessDenied):
        ask[name](at(server.endpoint))


def test_an_invalid_response_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Answer(body=b"<html><p>Sign in to this network", headers={"Content-Type": "text/html"})
    with answering(lambda _: page) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        with pytest.raises(Unavailable) as found, aws.translate_errors("STS", ""):
            aws.caller_account("us-east-1", None)
    assert str(found.value).startswith("STS cannot be reached: invalid response (")
