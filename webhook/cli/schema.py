"""`warmpod schema`: the JSON Schema of policy files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from webhook.cli.options import examples, option

KINDS: Final = ("WarmPolicy", "NodeCache", "ClientProfile", "WarmTest")


@click.command(
    epilog=examples(
        "warmpod schema --output policies/schema.json",
        "warmpod schema --kind WarmTest",
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
@option("--kind", type=click.Choice(KINDS), default=None, help="Only this kind of document. Default: all of them.")
def command(destination: str, kind: str | None) -> None:
    """Print the JSON Schema of policy files (WarmPolicy, NodeCache, ClientProfile) and their tests (WarmTest).

    Editors complete and check policies by it. Put this line first in a policy file:

    \b
      # yaml-language-server: $schema=../schema.json
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli.render import json_text, show
    from webhook.policy.schema import json_schema

    text = json_text(json_schema(kind))
    if destination:
        Path(destination).write_text(text, encoding="utf-8")
    else:
        show(text)
