"""Where things are on an instance, and what the launch's objects are called."""

CONFIG = "queue-config.json"
"""The configuration as it was typed."""
PINS = "requirements.txt"
ARCHIVE = "work.tar.gz"
SETUP = "setup"

HOME = "/opt/spawn-queue"
"""The package's environment, and what boots the instance."""
BOOT = f"{HOME}/boot"
ENVIRONMENT = "/etc/spawn-queue/environment"
"""Of the jobs, as systemd reads it; its user's alone."""
STATE = "/var/lib/spawn-queue"
WORK = "/srv/spawn-queue"
"""One folder for each queue: what was synced, and the configuration in it."""
RUNNER_UNIT = "spawn-queue.service"
FEED_UNIT = "spawn-feed.service"
SERVICE = "SPAWN_SERVICE"
"""Set in the environment of the runner's unit: its exit code is for systemd, which acts on codes
that mean nothing to a person. Jobs do not get it."""


def objects(launch_id: str) -> str:
    """Where a launch's objects are, below the queue's place; ends with a slash."""
    return f"_spawn/boot/{launch_id}/"


def folder(queue_id: str) -> str:
    """The folder that a queue's relative paths start from."""
    return f"{WORK}/{queue_id}"


def events(queue_id: str) -> str:
    """The log of a queue on its instance; see `store.paths`."""
    return f"{STATE}/queues/{queue_id}/events.db"
