"""The instance metadata service, version 2: what an EC2 instance can ask about itself.

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
"""How long an answer may take: the service is on the instance's own link."""

_ACTION = "/latest/meta-data/spot/instance-action"
_TOKEN_SECONDS = 3600
_LONGEST = 65536
"""Bytes of an answer that are read."""


class Notice(Struct, frozen=True):
    """EC2 takes the instance back at `at`, and does `action` then: terminate, stop, hibernate."""

    action: str
    at: datetime


class Metadata:
    """Asks the service, with a token that is renewed before it expires.

    Args:
        endpoint: An HTTP address; proxies are passed by.
        seconds: How long each answer may take.
    """

    def __init__(self, endpoint: str = ENDPOINT, seconds: float = SECONDS) -> None:
        self._netloc = urlsplit(endpoint).netloc
        self._seconds = seconds
        self._token = ""
        self._renew_at = 0.0

    def read(self, path: str) -> bytes | None:
        """What is there; None where nothing is (404).

        Raises:
            OSError: Nobody answers in time.
            http.client.HTTPException: It answers something else.
        """
        if not self._token or time.monotonic() >= self._renew_at:
            self._ask_token()
        status, body = self._get(path)
        if status == 401:  # the token was of a service that has been started anew since
            self._ask_token()
            status, body = self._get(path)
        if status == 404:
            return None
        if status != 200:
            raise http.client.HTTPException(f"{path}: {status}")
        return body

    def notice(self) -> Notice | None:
        """Say whether EC2 is about to take this spot instance back. A service that fails, is gone
        or says what nobody understands has given no notice."""
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            body = self.read(_ACTION)
            if body is not None:
                said = json.loads(body)
                at = datetime.fromisoformat(said["time"])
                return Notice(str(said["action"]), at if at.tzinfo else at.replace(tzinfo=UTC))
        return None

    def _ask_token(self) -> None:
        self._token = ""
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        status, body = self._ask("PUT", "/latest/api/token", ttl)
        if status != 200:
            raise http.client.HTTPException(f"a token: {status}")
        self._token = body.decode("ascii")
        self._renew_at = time.monotonic() + _TOKEN_SECONDS * 0.9

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._netloc, timeout=self._seconds)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read(_LONGEST)
        finally:
            connection.close()
