"""A client of the EC2 instance metadata service, version 2.

Source: "Use the Instance Metadata Service" and "Spot Instance interruption notices" of the EC2 user
guide.
"""

import http.client
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from msgspec import Struct

ENDPOINT = "http://169.254.169.254"
SECONDS = 2.0
"""Timeout of a request; the service is on the local link."""

_ACTION = "/latest/meta-data/spot/instance-action"
_TOKEN_SECONDS = 3600
_LONGEST = 65536
"""Maximum bytes of an answer."""


class Notice(Struct, frozen=True):
    """A spot interruption notice: EC2 performs `action` (terminate, stop, hibernate) at `at`."""

    action: str
    at: datetime


class Metadata:
    """Sends requests with a token, which is renewed before it expires.

    Args:
        endpoint: HTTP URL of the service; proxies are not used.
        seconds: Timeout of each request.
    """

    def __init__(self, endpoint: str = ENDPOINT, seconds: float = SECONDS) -> None:
        self._netloc = urlsplit(endpoint).netloc
        self._seconds = seconds
        self._token = ""
        self._renew_at = 0.0

    def read(self, path: str) -> bytes | None:
        """Return the content of a path; None if it does not exist (404).

        Raises:
            OSError: The service does not answer in time.
            http.client.HTTPException: The service answers with another status.
        """
        if not self._token or time.monotonic() >= self._renew_at:
            self._fetch_token()
        status, body = self._get(path)
        if status == 401:  # the service was restarted, which invalidates the token
            self._fetch_token()
            status, body = self._get(path)
        if status == 404:
            return None
        if status != 200:
            raise http.client.HTTPException(f"{path}: {status}")
        return body

    def notice(self) -> Notice | None:
        """Return the spot interruption notice; None if there is none or the request fails."""
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            body = self.read(_ACTION)
            if body is not None:
                action = json.loads(body)
                at = datetime.fromisoformat(action["time"])
                return Notice(str(action["action"]), at if at.tzinfo else at.replace(tzinfo=UTC))
        return None

    def _fetch_token(self) -> None:
        self._token = ""
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        status, body = self._request("PUT", "/latest/api/token", ttl)
        if status != 200:
            raise http.client.HTTPException(f"a token: {status}")
        self._token = body.decode("ascii")
        self._renew_at = time.monotonic() + _TOKEN_SECONDS * 0.9

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._request("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._netloc, timeout=self._seconds)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read(_LONGEST)
        finally:
            connection.close()
