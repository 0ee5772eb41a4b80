"""The sources that the command line reads queues from: this machine, a feed, or S3."""
