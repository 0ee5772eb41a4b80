"""Durations, moments, identifiers and other small values."""
