"""moto's server with atomic conditional writes, as S3 has them.

moto itself checks the condition and writes in two steps: once, on a busy machine, two of eight
concurrent replacements succeeded.
"""

import threading
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from moto import backends, server

_MODULES = tuple(backends.list_of_moto_modules())  # otherwise looked up on disk for every request
_CONDITIONS = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}
_one_at_a_time = threading.Lock()


class _Server(server.DomainDispatcherApplication):  # type: ignore[misc] # moto has no types for it
    """Serializes conditional writes."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if reads or not _CONDITIONS & environ.keys():
            return super().__call__(environ, start_response)  # type: ignore[no-any-return]
        if environ.get("CONTENT_LENGTH"):  # a slow sender blocks no other client
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = BytesIO(body)
        with _one_at_a_time:
            return super().__call__(environ, start_response)  # type: ignore[no-any-return]


if __name__ == "__main__":
    server.DomainDispatcherApplication = _Server
    backends.list_of_moto_modules = lambda: _MODULES
    server.main()
