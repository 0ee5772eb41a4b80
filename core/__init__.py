"""The pure core: no I/O, no clock, no threads, no randomness; callers pass these in."""
