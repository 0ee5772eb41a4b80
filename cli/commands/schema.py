"""`spawn queue schema`."""


def schema() -> None:
    """Print the JSON Schema of the configuration.

    Examples:
        spawn queue schema > queue.schema.json
    """
    import msgspec

    from spawn.core.config.schema import config_schema as schema_

    print(msgspec.json.format(msgspec.json.encode(schema_()), indent=2).decode())
