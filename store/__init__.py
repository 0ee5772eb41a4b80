"""What is kept: the event log, results and replicas."""
