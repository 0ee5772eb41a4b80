"""The feed: a small service beside the runner that tells what is known of a queue. Read-only."""
