"""Name the right that a refusal of S3 is about: S3 itself often does not."""

from collections.abc import Iterator
from contextlib import contextmanager

from spawn.store.objects.port import Denied


@contextmanager
def needing(*actions: str) -> Iterator[None]:
    """Say which rights what is done here takes, when it is refused."""
    try:
        yield
    except Denied as error:
        needs = f"it takes {' and '.join(actions)}"
        error.why = f"{error.why}; {needs}" if error.why else needs
        raise
