"""Simulation of whole queues on several machines under a virtual clock: the product's own loop,
replicator and takeover run with simulated commands, disks, object store and operators."""
