"""`warmpod certs`: serving certificates by hand. In a cluster they look after themselves."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli.certs_cluster import rotate, status
from webhook.cli.errors import CouldNotRun, say
from webhook.cli.options import argument, examples, option

if TYPE_CHECKING:
    from certs.issue import Pair

AUTHORITY = ("ca.crt", "ca.key")
LEAF = ("tls.crt", "tls.key")


@click.group(epilog=examples("warmpod certs status", "warmpod certs rotate --wait"))
def command() -> None:
    """The certificates that `warmpod webhook` serves with: those of an installation, and others by hand."""


command.add_command(status)
command.add_command(rotate)


@command.command()
@argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    required=True,
    help="DNS name or IP address that clients ask for, such as warmpod-webhook.warmpod-system.svc. Repeatable.",
)
@option("--days", type=click.IntRange(1, 3650), default=365, help="How long the certificate is valid.")
@option("--force", is_flag=True, help="Replace a certificate that is there.")
def issue(directory: Path, names: tuple[str, ...], days: int, *, force: bool) -> None:
    """Write an authority and a serving certificate for NAMEs into DIRECTORY.

    \b
      warmpod certs issue .dev --name 127.0.0.1 --name localhost
      warmpod webhook --tls-cert .dev/tls.crt --tls-key .dev/tls.key --policies policies

    ca.crt goes into the webhook configuration's caBundle. An authority that is in DIRECTORY already signs again, so
    that clients who trust it trust the new certificate too. Keys can be read by their owner alone.
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from certs.issue import InvalidName, issue_leaf

    there = [name for name in LEAF if (directory / name).exists()]
    if there and not force:
        raise CouldNotRun(f"{directory / there[0]} is there already", hint="--force replaces it")
    now = datetime.now(UTC)
    authority, is_new = _authority(directory, now)
    try:
        leaf = issue_leaf(authority, names, now, lifetime=timedelta(days=days))
    except InvalidName as error:
        raise CouldNotRun(str(error), hint="--name takes a DNS name or an IP address") from error
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_new:
        _write(directory, AUTHORITY, authority)
    _write(directory, LEAF, leaf)
    expiry = leaf.certificate.not_valid_after_utc
    say("note", f"{directory / LEAF[0]} for {', '.join(names)}, valid until {expiry:%Y-%m-%d %H:%M} UTC")


def _authority(directory: Path, now: datetime) -> tuple[Pair, bool]:
    """The authority in the directory, or a new one, and whether it is new."""
    from certs.issue import UnusablePair, issue_authority, load_pair

    certificate, key = (directory / name for name in AUTHORITY)
    if not certificate.exists() and not key.exists():
        return issue_authority(now), True
    try:
        pair = load_pair(certificate.read_bytes(), key.read_bytes())
    except (OSError, UnusablePair) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CouldNotRun(
            f"the authority in {directory} cannot sign: {reason}",
            hint=f"{' and '.join(AUTHORITY)} belong together; move both away to make a new authority",
        ) from error
    if pair.certificate.not_valid_after_utc <= now:
        raise CouldNotRun(f"the authority in {directory} has expired", hint="move it away to make a new one")
    return pair, False


def _write(directory: Path, names: tuple[str, str], pair: Pair) -> None:
    """Write key and certificate, each aside and renamed; the key first, for a certificate alone serves nobody."""
    for name, content, mode in ((names[1], pair.key_pem, 0o600), (names[0], pair.certificate_pem, 0o644)):
        aside = directory / f".{name}.{os.getpid()}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        aside.replace(directory / name)
