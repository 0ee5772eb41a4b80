"""What launches make is told by its tag."""

from collections.abc import Iterable, Mapping

from spawn.core.launch.names import OURS, TAG_OURS
from spawn.store.objects.port import Denied

TAGS = [{"Key": TAG_OURS, "Value": OURS}]


def expect_ours(what: str, tags: Iterable[Mapping[str, str]], flag: str) -> None:
    """See that what has a name of ours was made by a launch.

    Args:
        what: Its kind and name.
        tags: As AWS has them.
        flag: Names another one instead.

    Raises:
        Denied: It was not.
    """
    if {each["Key"]: each["Value"] for each in tags}.get(TAG_OURS) != OURS:
        raise Denied(
            f"the {what} is not ours",
            why=f"it has no tag {TAG_OURS}={OURS}",
            hint=f"{flag} names the one to use, this one too",
        )
