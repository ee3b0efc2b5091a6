"""`warmpod bake`: what to bake into the snapshot that new nodes start from, and what of it is stale."""

from __future__ import annotations

import click

from webhook.cli.bake_check import check
from webhook.cli.bake_plan import plan
from webhook.cli.options import examples


@click.group(
    epilog=examples(
        "warmpod bake plan --records /var/lib/warmpod/records --budget 100Gi", "warmpod bake check --plan plan.json"
    )
)
def command() -> None:
    """What to bake into the snapshot that new nodes start from, and what of it is stale."""


command.add_command(plan)
command.add_command(check)
