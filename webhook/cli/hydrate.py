"""`warmpod hydrate` by way of the frame: `warmpod --debug hydrate`, and its row in `warmpod --help`."""

from __future__ import annotations

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Bring a model from S3 or a POSIX tree onto this node's disk.

    It reads its command line itself: `warmpod hydrate --help` comes from webhook.hydrator.arguments.
    """
    from webhook.hydrator.command import main

    root = ctx.find_root()
    ctx.exit(main(arguments, debug=bool(root.params.get("debug"))))
