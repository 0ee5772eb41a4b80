"""A queue's folder on this machine: paths, locks, requests, what a runner leaves for readers."""
