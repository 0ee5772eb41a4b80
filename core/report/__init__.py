"""The report of a queue's state at a point in time, for people and scripts."""
