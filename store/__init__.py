"""Storage: the event log, results, replicas and AWS."""
