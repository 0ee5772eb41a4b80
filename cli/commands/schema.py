"""`spawn queue schema`."""


def schema() -> None:
    """Print the JSON Schema of configurations."""
    import msgspec

    from spawn.core.config.schema import schema as schema_

    print(msgspec.json.format(msgspec.json.encode(schema_()), indent=2).decode())
