"""The log's copy in an object store: upload, ownership and restore."""
