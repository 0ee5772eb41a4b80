"""Benchmarks of the project's performance claims, run by `make bench`; no test is timed."""
