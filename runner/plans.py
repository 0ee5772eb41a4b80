"""Options of a runner."""

from msgspec import Struct

from spawn.core.config.model import QueueConfig
from spawn.core.ttl import Ttl


class Plans(Struct, frozen=True, kw_only=True):
    """What a runner does besides running the queue.

    `by`: the user. `config`: replaces the queue's configuration as soon as no job runs. `rebooted`:
    the machine was restarted since the newest epoch, so its attempts are lost and their records do
    not count: a record survives the process, not the host. `moved_from`: the machine that the queue
    ran on, if not this one. `offline`: start jobs without checking ownership in the store. `ttl`:
    how long the queue may stay on this machine. `powers_off`: the machine is powered off when the
    queue ends or `ttl` expires.
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
