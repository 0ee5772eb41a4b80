"""The JSON Schema of the configuration file, for editors and other tools."""

from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, structs

from spawn.core.config.fields import Fields, JobFile, QueueFile, RetryFile
from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy
from spawn.core.values import durations

_MODELS: dict[type[Fields], type[Struct]] = {
    QueueFile: QueueConfig,
    JobFile: JobConfig,
    RetryFile: RetryPolicy,
}


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a queue configuration, for both dialects.

    It accepts everything that `parse` accepts. Checks across fields or jobs, such as cycles, exist
    only in `parse`.
    """
    generated = msgspec.json.schema(QueueFile)
    definitions = generated["$defs"]
    for file, model in _MODELS.items():
        definition = definitions[file.__name__]
        defaults = _defaults(model)
        for keep, drop in file.spellings:
            if keep in defaults:
                defaults[drop] = defaults[keep]
        if file is JobFile:
            defaults["retry_count"] = RetryPolicy().max_attempts
        for name, default in defaults.items():
            if name in definition["properties"] and name not in definition["required"]:
                definition["properties"][name]["default"] = default
        if file.spellings:
            definition["allOf"] = [{"not": {"required": list(pair)}} for pair in file.spellings]
    top = definitions.pop(QueueFile.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "spawn queue configuration",
        "$defs": definitions,
    }


def _defaults(model: type[Struct]) -> dict[str, Any]:
    """Return the model's defaults as they are written in the file."""
    defaults: dict[str, Any] = {}
    for field in structs.fields(model):
        value = field.default
        if field.default_factory is not NODEFAULT:
            value = field.default_factory()
        if isinstance(value, float):
            value = durations.format_compact(value)
        if value is not NODEFAULT and value is not None and not isinstance(value, Struct):
            defaults[field.encode_name] = list(value) if isinstance(value, tuple) else value
    return defaults
