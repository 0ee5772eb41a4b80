"""A stream that continues from another source when its source changes."""

from collections.abc import Callable
from typing import IO, Any, cast

from spawn.cli.sources.output import OutputStream


class MovingStream:
    """A `Stream` that follows a source that may change. Every byte is written exactly once.

    Args:
        opened: Opens the stream in the current source, from its beginning.
        place: Returns the current source; if that is another object, the stream is opened again.

    Raises:
        SpawnError: The source does not have the stream.
    """

    def __init__(self, opened: Callable[[], OutputStream], place: Callable[[], object]) -> None:
        self._open_stream = opened
        self._current_source = place
        self._source = place()
        self._stream = opened()
        self._copied = 0
        """Bytes written to the output, from all sources."""
        self._read = 0
        """Bytes read from the current source."""

    @property
    def whole(self) -> bool:
        return self._stream.whole

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        if self._current_source() is not self._source:
            source, stream = self._current_source(), self._open_stream()
            self._stream.close()
            self._source, self._stream, self._read = source, stream, 0
        self._stream.copy_to(cast("IO[bytes]", _NewBytes(self, out)), ended=ended)

    def close(self) -> None:
        self._stream.close()

    def write(self, out: IO[bytes], data: bytes) -> None:
        """Write the part of `data` that was not written before."""
        skipped = max(0, min(self._copied - self._read, len(data)))
        self._read += len(data)
        if skipped < len(data):
            out.write(data[skipped:])
            self._copied += len(data) - skipped


class _NewBytes:
    """An output that skips the bytes which an earlier source has already written."""

    def __init__(self, stream: MovingStream, out: IO[bytes]) -> None:
        self._stream = stream
        self._out = out

    def write(self, data: Any) -> int:
        self._stream.write(self._out, data)
        return len(data)

    def flush(self) -> None:
        self._out.flush()
