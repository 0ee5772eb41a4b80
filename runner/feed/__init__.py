"""The feed: a read-only service on loopback that reports the state of this machine's queues."""
