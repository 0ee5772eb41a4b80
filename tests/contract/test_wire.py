"""Objects downloaded without boto3: as boto3 would, which takes over when an answer is unusual."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from tests.support.s3 import CREDENTIALS
from tests.support.talk import CLOSE, RawAnswer, certificate, raw_server
from tests.support.timeouts import recorded
from tests.support.wait import call_with_timeout

from spawn.store.objects import aws
from spawn.store.objects.interface import (
    AccessDenied,
    ETagMismatch,
    ObjectNotFound,
    StoreError,
    Unavailable,
)
from spawn.store.objects.request_template import RequestTemplate
from spawn.store.objects.s3 import S3Store

OWNER = "123456789012"
BODY = b"0123456789"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "http_proxy", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> float:
    """A short read timeout for tests; returns it."""
    seconds = 0.3
    hasty = aws.CONFIG.merge(Config(read_timeout=seconds))
    monkeypatch.setattr(aws, "CONFIG", hasty)
    return seconds


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., S3Store]:
    """Create a store at a port of this machine."""

    def make(port: int, scheme: str = "http", **options: str) -> S3Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{port}")
        return S3Store(bucket="bucket", prefix="q", **options)

    return make


def _by_boto3(head: str) -> bool:
    return "amz-sdk-request" in head.lower()


def _header(head: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", head, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


def _answer(head: str, body: bytes = BODY, etag: str = '"e"', **more: str) -> bytes:
    """Answer with the requested range, as S3 does."""
    found = re.search(r"bytes=(\d+)-(\d+)", head)
    assert found is not None
    at, last = int(found[1]), int(found[2])
    part = body[at : last + 1]
    headers = {
        "Content-Length": str(len(part)),
        "Content-Range": f"bytes {at}-{last}/{len(body)}",
        "ETag": etag,
        "Last-Modified": DATE,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 206 Partial Content\r\n{lines}\r\n".encode() + part


def _said(status: int, code: str, **more: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>it &lt;said&gt;</Message></Error>"
    lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{lines}\r\n{body}".encode()


def _to_the_wire(odd: bytes | None) -> RawAnswer:
    """Answer boto3 normally, and all other clients with `odd`."""
    return lambda head: _answer(head) if _by_boto3(head) else odd


def _read(store: S3Store, key: str = "k", etag: str = "") -> bytes:
    stream, _ = store.open_range(key, 0, len(BODY), etag)
    with closing(stream):
        found = bytearray()
        while more := stream.read(4):
            found += more
    return bytes(found)


def test_after_one_boto3_request_objects_are_requested_directly(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    with raw_server(_answer) as server:
        store = at(server.port, owner=OWNER)
        for key in ("k", "späte/a b+c", "k"):
            assert _read(store, key, '"e"') == BODY
        first, *others = server.asked
        assert len(server.connections) == 2  # boto3's and ours, both kept open
    assert [_by_boto3(head) for head in (first, *others)] == [True, False, False]
    assert others[0].startswith("GET /bucket/q/sp%C3%A4te/a%20b%2Bc HTTP/1.1\r\n")
    for head in (first, others[1]):
        assert head.startswith("GET /bucket/q/k HTTP/1.1\r\n")
        assert _header(head, "Host") == f"127.0.0.1:{server.port}"
        assert _header(head, "Range") == "bytes=0-9"
        assert _header(head, "If-Match") == '"e"'
        assert _header(head, "x-amz-expected-bucket-owner") == OWNER
        assert _header(head, "x-amz-security-token") == "a-token"
    assert _header(first, "User-Agent") == _header(others[1], "User-Agent")
    signed = re.search(r"SignedHeaders=([^,]*)", others[1])
    assert signed is not None
    assert set(signed[1].split(";")) >= {
        *("host", "range", "if-match", "x-amz-date", "x-amz-content-sha256"),
        *("x-amz-expected-bucket-owner", "x-amz-security-token"),
    }


def test_another_prefix_of_the_bucket_is_requested_directly(at: Callable[..., S3Store]) -> None:
    with raw_server(_answer) as server:
        store = at(server.port)
        _read(store)
        assert _read(store.with_prefix("other"), "x") == BODY
        assert server.asked[1].startswith("GET /bucket/other/x HTTP/1.1\r\n")
        assert not _by_boto3(server.asked[1])


ODD = {
    "chunked": b"HTTP/1.1 206 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "no length": b"HTTP/1.1 206 x\r\nETag: e\r\n\r\nx" + CLOSE,
    "negative length": b"HTTP/1.1 206 x\r\nContent-Length: -1\r\n\r\n" + CLOSE,
    "two lengths": b"HTTP/1.1 206 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab" + CLOSE,
    "more than promised": b"HTTP/1.1 206 x\r\nContent-Length: 1\r\n\r\nab" + CLOSE,
    "compressed": b"HTTP/1.1 206 x\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "old": b"HTTP/1.0 206 x\r\nContent-Length: 1\r\n\r\nx" + CLOSE,
    "folded": b"HTTP/1.1 206 x\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "endless": b"HTTP/1.1 206 x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n" + CLOSE,
    "moved": _said(301, "PermanentRedirect", Location="http://127.0.0.1:1/"),
    "moved for now": _said(307, "TemporaryRedirect", Location="http://127.0.0.1:1/"),
    "denied": _said(403, "SignatureDoesNotMatch"),
    "elsewhere": _said(400, "AuthorizationHeaderMalformed"),
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_boto3_retries_unusual_answers_and_then_takes_over(
    at: Callable[..., S3Store], odd: bytes
) -> None:
    with raw_server(_to_the_wire(odd)) as server:
        store = at(server.port)
        for _ in range(6):
            assert _read(store) == BODY
        assert sum(not _by_boto3(head) for head in server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "raised", "why"),
    [
        (_said(503, "SlowDown"), Unavailable, "SlowDown: it <said>"),
        (_said(500, "InternalError"), Unavailable, "InternalError"),
        (b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n", Unavailable, ""),
        (_said(429, "TooManyRequests"), Unavailable, "TooManyRequests"),
        (_said(409, "OperationAborted"), Unavailable, "OperationAborted"),
        (_said(404, "NoSuchKey"), ObjectNotFound, ""),
        (_said(404, "NoSuchBucket"), AccessDenied, "NoSuchBucket"),
        (_said(412, "PreconditionFailed"), ETagMismatch, ""),
        (CLOSE, Unavailable, "closed without a response"),
        (b"HTTP/1.1 206 x\r\nContent-Le" + CLOSE, Unavailable, "ended early"),
    ],
)
def test_plain_errors_map_to_the_contract_without_a_retry(
    at: Callable[..., S3Store], answer: bytes, raised: type[Exception], why: str
) -> None:
    with raw_server(_to_the_wire(answer)) as server:
        store = at(server.port)
        _read(store)
        with pytest.raises(raised) as found:
            _read(store)
        assert [_by_boto3(head) for head in server.asked] == [True, False]
    if isinstance(found.value, StoreError):
        assert why in found.value.why
        assert not re.search("Signature|Credential|AWS4|X-Amz", str(found.value))


def test_a_denial_confirmed_by_boto3_is_denied(at: Callable[..., S3Store]) -> None:
    denied = False
    with raw_server(lambda head: _said(403, "AccessDenied") if denied else _answer(head)) as server:
        store = at(server.port)
        _read(store)
        denied = True
        with pytest.raises(AccessDenied, match="AccessDenied"):
            _read(store)


def test_a_truncated_answer_is_unavailable_and_the_next_succeeds(
    at: Callable[..., S3Store],
) -> None:
    half = True
    with raw_server(
        lambda head: _answer(head)[:-3] + CLOSE if half and not _by_boto3(head) else _answer(head)
    ) as server:
        store = at(server.port)
        _read(store)
        with pytest.raises(Unavailable, match="ended early"):
            _read(store)
        half = False
        assert _read(store) == BODY


def test_a_stalled_answer_is_unavailable_after_one_read_timeout(
    at: Callable[..., S3Store], hurried: float
) -> None:
    for cut in (0, 20, -3):
        with raw_server(
            lambda head, cut=cut: _answer(head) if _by_boto3(head) else _answer(head)[:cut] or None  # type: ignore[misc]
        ) as server:
            store = at(server.port)
            _read(store)
            with recorded() as timeouts, pytest.raises(Unavailable, match="timed out"):
                call_with_timeout(lambda store=store: _read(store))  # type: ignore[misc]
            assert timeouts == [aws.CONFIG.connect_timeout, hurried]
            assert [_by_boto3(head) for head in server.asked] == [True, False]


def test_a_connection_closed_between_requests_is_not_an_error(
    at: Callable[..., S3Store],
) -> None:
    with raw_server(lambda head: _answer(head) + CLOSE) as server:
        store = at(server.port)
        for _ in range(10):
            assert _read(store) == BODY
        assert [_by_boto3(head) for head in server.asked] == [True] + [False] * 9


def test_a_connection_with_connection_close_is_not_reused(at: Callable[..., S3Store]) -> None:
    with raw_server(lambda head: _answer(head, Connection="close")) as server:
        store = at(server.port)
        for _ in range(3):
            assert _read(store) == BODY
        assert len(server.connections) == 3


def test_a_changed_object_is_rejected_when_the_store_ignores_conditions(
    at: Callable[..., S3Store],
) -> None:
    with raw_server(_answer) as server:
        store = at(server.port)
        for _ in range(2):
            with pytest.raises(ETagMismatch):
                _read(store, etag='"other"')
        assert _read(store, etag='"e"') == BODY


def test_a_range_other_than_the_requested_one_is_rejected(at: Callable[..., S3Store]) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: e\r\n\r\n" + BODY
    with raw_server(_to_the_wire(whole)) as server:
        store = at(server.port)
        _read(store)
        with pytest.raises(Unavailable, match="other bytes"):
            _read(store)


@pytest.mark.parametrize("how", ["environment", "folder", "profile"])
def test_tls_trusts_the_certificates_configured_for_boto3(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    bundle, context = certificate(tmp_path)
    profile = {}
    if how == "profile":
        (tmp_path / "config").write_text(
            f"[profile p]\nca_bundle = {bundle}\naws_access_key_id = k\naws_secret_access_key = s\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        profile = {"profile": "p"}
    elif how == "environment":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    else:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with raw_server(_answer, context) as server:
        store = at(server.port, "https", **profile)
        for _ in range(3):
            assert _read(store) == BODY
        assert [_by_boto3(head) for head in server.asked] == [True, False, False]


def test_tls_trusts_no_other_certificate(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle, context = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = certificate(tmp_path / "other")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(other))
    with raw_server(_answer, context) as server:
        with pytest.raises(Unavailable):
            _read(at(server.port, "https"))
        assert server.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        store = at(server.port, "https")
        _read(store)
        (tmp_path / "certificate.pem").write_bytes(other.read_bytes())
        assert _read(store) == BODY  # boto3's own connection stays open


def test_only_boto3_uses_a_proxy(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(_answer) as proxy:
        store = at(1)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        for _ in range(2):
            assert _read(store) == BODY
        assert all(_by_boto3(head) for head in proxy.asked)
        assert proxy.asked[0].startswith("GET http://127.0.0.1:1/bucket/q/k HTTP/1.1")


@pytest.mark.parametrize("signature", ["s3", UNSIGNED], ids=["v2", "none"])
def test_only_boto3_handles_other_signature_versions(
    at: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch, signature: object
) -> None:
    signing = aws.CONFIG.merge(Config(signature_version=signature))
    monkeypatch.setattr(aws, "CONFIG", signing)
    with raw_server(_answer) as server:
        store = at(server.port)
        for _ in range(2):
            assert _read(store) == BODY
        assert all(_by_boto3(head) for head in server.asked)


class _Turning:
    """Credentials that differ at each use."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = iter(tokens)

    def get_frozen_credentials(self) -> object:
        return Credentials("key", "secret", next(self._tokens)).get_frozen_credentials()


def _way(credentials: object) -> RequestTemplate:
    return RequestTemplate(
        scheme="https",
        host="bucket.example.com",
        port=443,
        base="/",
        region="eu-west-1",
        headers={},
        credentials=credentials,
    )


def test_refreshed_credentials_are_used_at_once() -> None:
    way = _way(_Turning("first", "second"))
    for token in ("first", "second"):
        request = way.request("k", {})
        assert request is not None
        assert _header(request.decode(), "X-Amz-Security-Token") == token
        assert _header(request.decode(), "Host") == "bucket.example.com"


@given(st.text(max_size=6).filter(lambda token: not token.isascii() or not token.isprintable()))
def test_a_credential_with_invalid_characters_is_not_sent(token: str) -> None:
    assert _way(_Turning(f"a{token}b")).request("k", {}) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_key_gives_one_valid_request(key: str) -> None:
    request = _way(Credentials("key", "secret")).request(key, {"Range": "bytes=0-1"})
    assert request is not None
    lines = request.split(b"\r\n")
    assert re.fullmatch(rb"GET /[!-~]* HTTP/1\.1", lines[0])
    assert lines[-2:] == [b"", b""]
    assert b"" not in lines[:-2]
