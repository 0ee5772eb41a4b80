"""`spawn queue schema`."""


def schema() -> None:
    """Print the JSON Schema of a queue's configuration, for editors and checks."""
    import msgspec

    from spawn.core.config.schema import schema as schema_

    print(msgspec.json.format(msgspec.json.encode(schema_()), indent=2).decode())
