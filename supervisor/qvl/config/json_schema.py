"""The JSON Schema of the config file, for editors: `python -m qvl.config.json_schema > etc/qvl.schema.json`.

It knows single keys and nothing of how they hang together: a file that it accepts can still be refused by the loader.
"""

import json
import sys
from collections.abc import Mapping

import msgspec

from qvl.config.declare import NAME, Field, Named, Section
from qvl.config.kinds import Duration, Schema, Size
from qvl.config.schema import ROOT
from qvl.config.units import format_duration, format_size


def json_schema() -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "qvl.toml",
        **_section(ROOT),
    }


def _section(section: Section) -> Schema:
    defaults = _defaults(section)
    schema: Schema = {
        "description": section.doc,
        "type": "object",
        "properties": {name: _entry(entry, name, defaults) for name, entry in section.fields.items()},
        "additionalProperties": False,
    }
    required = [name for name, entry in section.fields.items() if isinstance(entry, Field) and entry.required]
    return {**schema, "required": required} if required else schema


def _entry(entry: Field | Section | Named, name: str, defaults: Mapping[str, object]) -> Schema:
    if isinstance(entry, Section):
        return _section(entry)
    if isinstance(entry, Named):
        names: Schema = {"pattern": NAME.pattern}
        if entry.taken:
            names["not"] = {"enum": list(entry.taken)}
        return {
            "description": entry.doc,
            "type": "object",
            "propertyNames": names,
            "additionalProperties": _section(entry.section),
        }
    schema: Schema = {"description": entry.doc, **entry.kind.schema()}
    if name in defaults:
        schema["default"] = _written(entry, defaults[name])
    return schema


def _written(entry: Field, value: object) -> object:
    """A default as people write it."""
    if isinstance(entry.kind, Duration) and isinstance(value, float):
        return format_duration(value)
    if isinstance(entry.kind, Size) and isinstance(value, int):
        return format_size(value)
    return msgspec.to_builtins(value)


def _defaults(section: Section) -> dict[str, object]:
    """Those of the struct; None stands for "not said" and is no value that a file could have."""
    found: dict[str, object] = {}
    for known in msgspec.structs.fields(section.struct) if section.struct else ():
        if known.default is not msgspec.NODEFAULT and known.default is not None:
            found[known.encode_name] = known.default
        elif known.default_factory is not msgspec.NODEFAULT:
            found[known.encode_name] = known.default_factory()
    return found


if __name__ == "__main__":
    json.dump(json_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
