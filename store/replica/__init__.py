"""The log's copy in an object store: shipped, owned by one, restored elsewhere."""
