"""Paths on an instance and names of a launch's objects."""

CONFIG = "queue-config.json"
"""The configuration file as the user wrote it."""
PINS = "requirements.txt"
ARCHIVE = "work.tar.gz"
SETUP = "setup"

HOME = "/opt/spawn-queue"
"""The package's virtual environment and the boot scripts."""
BOOT = f"{HOME}/boot"
ENVIRONMENT = "/etc/spawn-queue/environment"
"""Environment of the jobs, in systemd's format; readable only by the login user."""
STATE = "/var/lib/spawn-queue"
WORK = "/srv/spawn-queue"
"""One folder per queue, with the synced files and the configuration."""
RUNNER_UNIT = "spawn-queue.service"
FEED_UNIT = "spawn-feed.service"
SERVICE_VARIABLE = "SPAWN_SERVICE"
"""Set in the environment of the runner's unit, so that the runner exits with codes for systemd.
Jobs do not get it."""


def launch_prefix(launch_id: str) -> str:
    """Return the prefix of a launch's objects below the queue's prefix, with a trailing slash."""
    return f"_spawn/boot/{launch_id}/"


def work_folder(queue_id: str) -> str:
    """Return the folder that the relative paths of a queue are resolved against."""
    return f"{WORK}/{queue_id}"


def log_path(queue_id: str) -> str:
    """Return the path of a queue's log on its instance, as in `store.paths`."""
    return f"{STATE}/queues/{queue_id}/events.db"
