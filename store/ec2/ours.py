"""The tag of resources that launches create, and its check."""

from collections.abc import Iterable, Mapping

from spawn.core.launch.names import OURS, TAG_OURS
from spawn.store.objects.port import Denied

TAGS = [{"Key": TAG_OURS, "Value": OURS}]


def expect_ours(what: str, tags: Iterable[Mapping[str, str]], flag: str) -> None:
    """Check that a resource with one of spawn's names was created by a launch.

    Args:
        what: Kind and name of the resource.
        tags: Its tags, as AWS returns them.
        flag: Option that names another resource.

    Raises:
        Denied: The resource lacks the tag.
    """
    if {each["Key"]: each["Value"] for each in tags}.get(TAG_OURS) != OURS:
        raise Denied(
            f"the {what} was not created by spawn",
            why=f"it has no tag {TAG_OURS}={OURS}",
            hint=f"name it, or another one, with {flag}",
        )
