"""Build requests for a bucket's objects from one that boto3 made.

boto3 resolves endpoints, addressing styles, regions and redirects; a successful request contains
the result. A request with anything unusual in it is not used: boto3 makes the next one, too.
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
_COPIED_HEADERS = ("user-agent", _OWNER)
_REGENERATED_HEADERS = {
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
"""Characters that botocore does not escape in a key, besides letters, digits and `-._`."""


class LastRequest:
    """Records each thread's newest request for an object, as it was sent."""

    def __init__(self, client: Any) -> None:
        self._local = local()
        client.meta.events.register("before-send.s3.GetObject", self._record)

    def take(self) -> Any:
        """Return and clear this thread's newest request; None if there is none."""
        found = getattr(self._local, "request", None)
        self._local.request = None
        return found

    def _record(self, request: Any, **_: Any) -> None:
        self._local.request = request


class RequestTemplate:
    """A template of the requests for a bucket's objects.

    Args:
        scheme: `http` or `https`.
        base: The URL path of an object without its key, with a trailing slash.
        headers: Headers of every request; names are in lowercase.
        credentials: Read for every request, since they may be refreshed.
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
        """Build the signed request for an object; None if a credential is not a valid header.

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


def template_of(request: Any, key: str, credentials: Any) -> RequestTemplate | None:
    """Derive the template from a request of boto3; None if only boto3 can repeat it: it has a
    proxy, a password in the URL, another signature or an unknown header.

    Args:
        request: The request as sent.
        key: The key of the requested object.
        credentials: The session's credentials; None if requests are not signed.
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
        or headers.keys() - _REGENERATED_HEADERS - {*_COPIED_HEADERS}
        or get_environ_proxies(request.url).get(url.scheme)
    ):
        return None
    return RequestTemplate(
        scheme=url.scheme,
        host=url.hostname,
        port=url.port or _PORTS[url.scheme],
        base=url.path.removesuffix(tail),
        region=signed[2],
        headers={name: headers[name] for name in _COPIED_HEADERS if name in headers},
        credentials=credentials,
    )


def tls_context(bundle: str | None) -> ssl.SSLContext:
    """A TLS context that trusts the same certificates as boto3.

    Args:
        bundle: The setting `ca_bundle` or `AWS_CA_BUNDLE`: a file or a folder.

    Raises:
        OSError: The certificates cannot be read.
    """
    path = str(bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True))
    folder = os.path.isdir(path)  # noqa: PTH112, OpenSSL takes a string
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(None if folder else path, path if folder else None)
    return context
