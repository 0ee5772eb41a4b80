"""The report of a queue as one self-contained HTML file."""
