"""The log's way to the object store."""
