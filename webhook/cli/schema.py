"""`warmpod schema`: the JSON Schema of policy files."""

from __future__ import annotations

from pathlib import Path

import click

from webhook.cli.options import examples, option


@click.command(
    epilog=examples(
        "warmpod schema --output policies/schema.json",
    )
)
@option(
    "--output",
    "destination",
    metavar="FILE",
    default="",
    twin="WARMPOD_SCHEMA_OUTPUT",
    help="Write to FILE instead of stdout.",
)
def command(destination: str) -> None:
    """Print the JSON Schema of policy files (WarmPolicy, NodeCache, ClientProfile).

    Editors complete and check policies by it. Put this line first in a policy file:

    \b
      # yaml-language-server: $schema=../schema.json
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli.render import json_text, show
    from webhook.policy.schema import json_schema

    text = json_text(json_schema(None))
    if destination:
        Path(destination).write_text(text, encoding="utf-8")
    else:
        show(text)
