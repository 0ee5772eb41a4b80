"""Whole queues on several machines under a virtual clock: the runner's own loop, replicator and
takeover, with commands, disks, an object store and people that are simulated."""
