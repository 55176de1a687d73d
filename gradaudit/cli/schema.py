"""``gradaudit schema``: the format of specs, for editors."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of a spec, with which editors complete and check YAML."""
    import json

    from gradaudit.spec.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
