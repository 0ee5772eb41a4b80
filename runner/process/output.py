"""A job's output: raw in the attempt's folder, and combined in a log with the time of each line."""

import os
import time


class Output:
    """Writes a command's output to three files.

    Output that cannot be written is dropped, so that a full disk never blocks the command.

    Args:
        folder: The attempt's folder, for `stdout.log` and `stderr.log`.
        job_log: The job's combined log; each attempt appends to it.
    """

    def __init__(self, folder: str, job_log: str) -> None:
        self._raw = [_open(f"{folder}/stdout.log"), _open(f"{folder}/stderr.log")]
        self._job_log = job_log
        self._combined: int | None = None
        self.offset = _size(job_log)
        """Byte offset of this attempt in the combined log; earlier attempts no longer write."""
        self.dropped = 0
        """Bytes of raw output that could not be written."""
        self._open_line: int | None = None
        self._second = 0
        self._stamp = b""

    def open_job_log(self) -> bool:
        """Open the combined log. Users see it, so call this only once the command runs.

        Returns:
            Whether the log could be opened.
        """
        self._combined = _open_combined(self._job_log)
        return self._combined is not None

    def write(self, stream: int, data: bytes) -> None:
        """Write a chunk of output.

        Args:
            stream: 0 for stdout, 1 for stderr.
        """
        self.dropped += len(data) - _write(self._raw[stream], data)
        if self._combined is not None:
            _write(self._combined, self._combine(stream, data))

    def close(self) -> None:
        """Finish the last line of the combined log and close the files."""
        if self._combined is not None:
            if self._open_line is not None:
                _write(self._combined, b"\n")
            os.close(self._combined)
        for fd in self._raw:
            os.close(fd)

    def _combine(self, stream: int, data: bytes) -> bytes:
        """Prefix each line with the time; never continue a line of the other stream."""
        stamp = self._time()
        start = b""
        if self._open_line not in (None, stream):
            start = b"\n" + stamp
        elif self._open_line is None:
            start = stamp
        body, ended = (data[:-1], True) if data.endswith(b"\n") else (data, False)
        self._open_line = None if ended else stream
        return start + body.replace(b"\n", b"\n" + stamp) + (b"\n" if ended else b"")

    def _time(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._stamp = time.strftime("[%H:%M:%S] ", time.localtime(now)).encode()
        return self._stamp


def _open_combined(path: str) -> int | None:
    """Open the combined log; None if that fails: it only repeats the raw output."""
    try:
        return _open(path)
    except FileNotFoundError:
        pass
    except OSError:
        return None
    try:
        os.makedirs(path.rpartition("/")[0], exist_ok=True)
        return _open(path)
    except OSError:
        return None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _open(path: str) -> int:
    # O_NONBLOCK: a FIFO at this path would block the command until another process reads from it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(path, flags, 0o644)


def _write(fd: int, data: bytes) -> int:
    """Write as much as possible; returns the number of bytes written."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            break
    return len(data) - len(view)
