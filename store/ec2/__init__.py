"""AWS requests of a launch, one module per kind of resource: find it, or create it."""
