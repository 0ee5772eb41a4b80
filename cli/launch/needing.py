"""Name the missing permission when S3 denies a request: S3 itself often does not."""

from collections.abc import Iterator
from contextlib import contextmanager

from spawn.store.objects.port import Denied


@contextmanager
def requires_permissions(*actions: str) -> Iterator[None]:
    """Add the permissions that the block requires to the error when a request is denied."""
    try:
        yield
    except Denied as error:
        required = f"this requires {' and '.join(actions)}"
        error.why = f"{error.why}; {required}" if error.why else required
        raise
