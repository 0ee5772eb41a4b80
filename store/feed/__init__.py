"""Ask a feed: a client, and how what was read of it before is brought up to date."""
