"""A stream that is read on from elsewhere when its first place is gone."""

from collections.abc import Callable
from typing import IO, Any, cast

from spawn.cli.sources.output import Stream


class MovingStream:
    """A stream of whichever place is the right one now: nothing is printed twice, nothing left out.

    Args:
        opened: Opens it at that place, from its beginning.
        place: Says which place that is; another one has it opened anew.

    Raises:
        SpawnError: Its bytes are gone.
    """

    def __init__(self, opened: Callable[[], Stream], place: Callable[[], object]) -> None:
        self._opened = opened
        self._place = place
        self._at = place()
        self._stream = opened()
        self._copied = 0
        """Bytes that were written, over all places."""
        self._read = 0
        """Bytes that came from the present one."""

    @property
    def whole(self) -> bool:
        """See `Stream.whole`."""
        return self._stream.whole

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """See `Stream.copy_to`."""
        if self._place() is not self._at:
            at, stream = self._place(), self._opened()
            self._stream.close()
            self._at, self._stream, self._read = at, stream, 0
        self._stream.copy_to(cast("IO[bytes]", _Past(self, out)), ended=ended)

    def close(self) -> None:
        """See `Stream.close`."""
        self._stream.close()

    def write(self, out: IO[bytes], data: bytes) -> None:
        """Write what was not written before."""
        known = max(0, min(self._copied - self._read, len(data)))
        self._read += len(data)
        if known < len(data):
            out.write(data[known:])
            self._copied += len(data) - known


class _Past:
    """Where a stream writes to; what came before is left out."""

    def __init__(self, stream: MovingStream, out: IO[bytes]) -> None:
        self._stream = stream
        self._out = out

    def write(self, data: Any) -> int:
        """Write."""
        self._stream.write(self._out, data)
        return len(data)

    def flush(self) -> None:
        """Flush."""
        self._out.flush()
