"""Read objects without boto3, based on a request that boto3 made."""

import ssl
from threading import Lock
from typing import Any

from botocore.session import Session

from spawn.store.objects.connection_pool import ConnectionPool, Reply
from spawn.store.objects.request_template import LastRequest, template_of, tls_context

_MAX_FAILURES = 3
"""After so many responses that only boto3 understood, boto3 makes all requests."""


class DirectClient:
    """Reads objects of one bucket without boto3. Thread-safe.

    Args:
        client: boto3's client, whose requests are the template.
        session: The client's botocore session.
    """

    def __init__(self, client: Any, session: Session) -> None:
        self._client = client
        self._session = session
        self._last_request = LastRequest(client)
        self._lock = Lock()
        self._example: tuple[Any, str] | None = None
        self._pool: ConnectionPool | None = None
        self._failures = 0

    @property
    def ready(self) -> bool:
        """Whether a template is known."""
        if self._pool is None and self._example is not None:
            with self._lock:  # on first use only: the certificates take memory
                example, self._example = self._example, None
                if example is not None:
                    self._pool = self._create_pool(*example)
        return self._pool is not None

    def get(self, key: str, headers: dict[str, str]) -> Reply | None:
        """See `ConnectionPool.get`. None also without a template."""
        pool = self._pool
        return pool.get(key, headers) if pool is not None else None

    def learn(self, key: str) -> None:
        """Use this thread's newest boto3 request, which succeeded, as the template.

        Args:
            key: The key that it requested.
        """
        request = self._last_request.take()
        if request is None:
            return
        with self._lock:
            if self._pool is None and self._failures < _MAX_FAILURES:
                self._example = request, key

    def record_failure(self) -> None:
        """Count a response that only boto3 understood."""
        with self._lock:
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                self._pool = None

    def _create_pool(self, request: Any, key: str) -> ConnectionPool | None:
        way = template_of(request, key, self._session.get_credentials())
        if way is None:
            return None
        context: ssl.SSLContext | None = None
        if way.scheme == "https":
            try:
                context = tls_context(self._session.get_config_variable("ca_bundle"))
            except OSError:
                return None
        config = self._client.meta.config
        return ConnectionPool(
            way,
            context,
            connect_seconds=config.connect_timeout,
            read_seconds=config.read_timeout,
        )
