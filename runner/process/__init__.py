"""Processes: the zygote, supervisors, commands."""
