"""Objects asked for without boto3, once it has shown the way."""

import ssl
from threading import Lock
from typing import Any

from botocore.session import Session

from spawn.store.objects.way import Sent, learn, trust
from spawn.store.objects.wire import Reply, Wire

_STRIKES = 3
"""How often boto3 may succeed where the wire did not, until it is left with all of it."""


class Lean:
    """Asks for objects of one bucket. Several threads may at once.

    Args:
        client: boto3's, whose requests show the way.
        session: What the client was made of.
    """

    def __init__(self, client: Any, session: Session) -> None:
        self._client = client
        self._session = session
        self._sent = Sent(client)
        self._lock = Lock()
        self._shown: tuple[Any, str] | None = None
        self._wire: Wire | None = None
        self._strikes = 0

    @property
    def knows(self) -> bool:
        """Whether the way is known."""
        if self._wire is None and self._shown is not None:
            with self._lock:  # only now: who never asks so needs no certificates in memory
                shown, self._shown = self._shown, None
                if shown is not None:
                    self._wire = self._made(*shown)
        return self._wire is not None

    def get(self, key: str, headers: dict[str, str]) -> Reply | None:
        """See `Wire.get`. None also as long as the way is not known."""
        wire = self._wire
        return wire.get(key, headers) if wire is not None else None

    def learn(self, key: str) -> None:
        """Learn from this thread's newest request that boto3 made. It has succeeded.

        Args:
            key: What it has asked for.
        """
        request = self._sent.take()
        if request is None:
            return
        with self._lock:
            if self._wire is None and self._strikes < _STRIKES:
                self._shown = request, key

    def missed(self) -> None:
        """Boto3 succeeded where the wire did not understand the answer."""
        with self._lock:
            self._strikes += 1
            if self._strikes >= _STRIKES:
                self._wire = None

    def _made(self, request: Any, key: str) -> Wire | None:
        way = learn(request, key, self._session.get_credentials())
        if way is None:
            return None
        context: ssl.SSLContext | None = None
        if way.scheme == "https":
            try:
                context = trust(self._session.get_config_variable("ca_bundle"))
            except OSError:
                return None
        config = self._client.meta.config
        return Wire(
            way,
            context,
            connect_seconds=config.connect_timeout,
            read_seconds=config.read_timeout,
        )
