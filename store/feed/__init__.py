"""The client of the feed, and the update of its cache."""
