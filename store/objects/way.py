"""How boto3 asked for an object of a bucket, and the next object asked for in the same way.

It knows endpoints, styles of address, regions, redirects. All of that is in a request that it has
made and that was answered; what is odd about one is a reason to let it make the next one, too.
"""

import os
import re
import ssl
from collections.abc import Mapping
from threading import local
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

_ALGORITHM = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/\d{8}/([^/,]+)/s3/aws4_request,")
_OWNER = "x-amz-expected-bucket-owner"
_KEPT = ("user-agent", _OWNER)
_MADE_ANEW = {
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "if-match",
    "range",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
}
_PORTS = {"http": 80, "https": 443}
_SAFE = "/~"
"""What botocore leaves as it is in a key, beside letters, digits and `-._`."""


class Sent:
    """Keeps each thread's newest request for an object, as it went out."""

    def __init__(self, client: Any) -> None:
        self._of = local()
        client.meta.events.register("before-send.s3.GetObject", self._keep)

    def take(self) -> Any:
        """This thread's newest one; None when it has sent none since."""
        found = getattr(self._of, "request", None)
        self._of.request = None
        return found

    def _keep(self, request: Any, **_: Any) -> None:
        self._of.request = request


class Way:
    """Where a bucket's objects are, and what a request for one has to look like.

    Args:
        scheme: `http` or `https`.
        base: The path of an object without its key, with a trailing slash.
        headers: Those that every request has; names are small.
        credentials: Asked at every request: they may be refreshed.
    """

    def __init__(
        self,
        *,
        scheme: str,
        host: str,
        port: int,
        base: str,
        region: str,
        headers: Mapping[str, str],
        credentials: Any,
    ) -> None:
        self.scheme, self.host, self.port = scheme, host, port
        name = f"[{host}]" if ":" in host else host
        self._netloc = name if port == _PORTS[scheme] else f"{name}:{port}"
        self._base = base
        self._region = region
        self._headers = dict(headers)
        self._credentials = credentials

    def request(self, key: str, headers: Mapping[str, str]) -> bytes | None:
        """The request for an object, signed for now; None where a credential cannot be sent.

        Raises:
            BotoCoreError: There are no credentials any more.
            UnicodeEncodeError: The key is not Unicode.
        """
        path = self._base + quote(key, safe=_SAFE)
        request = AWSRequest(
            "GET", f"{self.scheme}://{self._netloc}{path}", headers={**self._headers, **headers}
        )
        frozen = self._credentials.get_frozen_credentials()
        S3SigV4Auth(frozen, "s3", self._region).add_auth(request)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._netloc}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if not all(line.isascii() and line.isprintable() for line in lines):
            return None
        return "\r\n".join([*lines, "\r\n"]).encode()


def learn(request: Any, key: str, credentials: Any) -> Way | None:
    """The way of a request that boto3 has made; None where only boto3 knows it: there is a proxy, a
    password in the address, another signature, a header of which we know nothing.

    Args:
        request: As it was sent.
        key: Of the object that it was for.
        credentials: Those of the session; none where nothing is signed.
    """
    url = urlsplit(request.url)
    headers = {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    signed = _ALGORITHM.match(headers.get("authorization", ""))
    tail = quote(key, safe=_SAFE)
    if (
        signed is None
        or credentials is None
        or signed[1] != credentials.get_frozen_credentials().access_key
        or url.scheme not in _PORTS
        or url.query
        or "@" in url.netloc
        or not url.hostname
        or not url.path.endswith(f"/{tail}")
        or headers.keys() - _MADE_ANEW - {*_KEPT}
        or get_environ_proxies(request.url).get(url.scheme)
    ):
        return None
    return Way(
        scheme=url.scheme,
        host=url.hostname,
        port=url.port or _PORTS[url.scheme],
        base=url.path.removesuffix(tail),
        region=signed[2],
        headers={name: headers[name] for name in _KEPT if name in headers},
        credentials=credentials,
    )


def trust(bundle: str | None) -> ssl.SSLContext:
    """TLS as boto3 does it: the same certificates are believed.

    Args:
        bundle: The setting `ca_bundle`, a file or a folder, which `AWS_CA_BUNDLE` is, too.

    Raises:
        OSError: It cannot be read.
    """
    path = str(bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True))
    folder = os.path.isdir(path)  # noqa: PTH112, it is a string for OpenSSL
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(None if folder else path, path if folder else None)
    return context
