"""What the one who starts a runner wants of it."""

from msgspec import Struct

from spawn.core.config.model import QueueConfig
from spawn.core.ttl import Ttl


class Plans(Struct, frozen=True, kw_only=True):
    """What the one who starts a runner wants of it, beyond going on.

    `config` takes the place of the queue's own as soon as nothing runs. `rebooted`: the machine was
    restarted since the newest epoch, so that nothing of its attempts is alive, and no record that
    one of them left is believed: it outlives processes, not the host. `moved_from`: the machine
    that the queue ran on, if it was another. `offline`: begin though nobody knows whether the
    queue is ours. `ttl`: how long the queue may stay on this machine. `powers_off`: the machine is
    powered off when the queue ends, or `ttl` has passed.
    """

    by: str = ""
    retry_failed: bool = False
    config: QueueConfig | None = None
    cancel: bool = False
    leave_jobs: bool = False
    rebooted: bool = False
    moved_from: str = ""
    offline: bool = False
    ttl: Ttl | None = None
    powers_off: bool = False
