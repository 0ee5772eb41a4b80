"""Failing object stores, and machines that take over queues from each other."""
