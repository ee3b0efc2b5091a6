"""Options of `warmpod controller` about the installation that it belongs to: certificates, registration, itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from webhook.cli.options import Decorated, FiniteRange, option
from webhook.kube import names

if TYPE_CHECKING:
    from webhook.controller.options import Installation

_FILE = click.Path(path_type=Path)
_SECONDS = FiniteRange(min=0, max=30 * 24 * 3600)


def installation_options(function: Decorated) -> Decorated:
    """The options that `installation_of` reads."""
    wrappers: list[Callable[[Decorated], Decorated]] = [
        option(
            "--tls-secret",
            metavar="NAME",
            default="",
            help="Keep the webhook's certificates in this Secret. Empty: they are somebody else's, as cert-manager's.",
        ),
        option(
            "--tls-directory",
            type=_FILE,
            metavar="DIR",
            help="Where tls.crt and tls.key are written for the webhook; with no --tls-secret, where they are read.",
        ),
        option(
            "--tls-name",
            "tls_names",
            multiple=True,
            metavar="NAME",
            help="Name in the certificate. Default: --webhook-service's two names in the cluster.",
        ),
        option(
            "--tls-settle-seconds", type=_SECONDS, default=60.0, help="How long API servers take to learn an authority."
        ),
        option(
            "--tls-overlap-seconds", type=_SECONDS, default=3600.0, help="How long an old authority is still trusted."
        ),
        option(
            "--certificate-seconds",
            type=FiniteRange(min=0.05, max=60),
            default=1.0,
            help="Between two looks at --tls-secret.",
        ),
        option(
            "--webhook-service",
            metavar="NAME",
            default=names.WEBHOOK_SERVICE,
            help="The webhook's Service, beside the Lease.",
        ),
        option(
            "--webhook-configuration",
            metavar="NAME",
            default=names.WEBHOOK_CONFIGURATION,
            help="The MutatingWebhookConfiguration to watch. Empty: none.",
        ),
        option(
            "--webhook-status",
            metavar="URL",
            default="http://127.0.0.1:8080/status",
            help="Where the webhook beside this controller tells its state. Empty: there is none.",
        ),
        option(
            "--manage-webhook", is_flag=True, help="Make --webhook-configuration anew when it was deleted or emptied."
        ),
        option(
            "--pod-name",
            metavar="NAME",
            default="",
            help="Keep a Lease that says how this replica does, named by its pod.",
        ),
        option("--pod-uid", metavar="UID", default="", help="The pod's uid: the Lease goes when the pod does."),
    ]
    for wrapper in reversed(wrappers):
        function = wrapper(function)
    return function


def installation_of(
    *,
    tls_secret: str,
    tls_directory: Path | None,
    tls_names: tuple[str, ...],
    tls_settle_seconds: float,
    tls_overlap_seconds: float,
    certificate_seconds: float,
    webhook_service: str,
    webhook_configuration: str,
    webhook_status: str,
    manage_webhook: bool,
    pod_name: str,
    pod_uid: str,
) -> Installation:
    """What the options mean. A usage error for those that do not fit together."""
    from webhook.controller.options import Installation

    if manage_webhook and not webhook_configuration:
        raise click.UsageError("--manage-webhook needs --webhook-configuration NAME")
    if tls_secret and not webhook_configuration:
        raise click.UsageError("--tls-secret needs --webhook-configuration NAME: who trusts the certificates")
    if pod_uid and not pod_name:
        raise click.UsageError("--pod-uid needs --pod-name NAME")
    if webhook_status and (
        urlsplit(webhook_status).scheme not in ("http", "https") or not urlsplit(webhook_status).netloc
    ):
        raise click.UsageError(
            f"--webhook-status: {webhook_status!r} is no URL; write for example http://127.0.0.1:8080/status"
        )
    return Installation(
        secret=tls_secret,
        directory=tls_directory,
        tls_names=tls_names,
        settle_seconds=tls_settle_seconds,
        overlap_seconds=tls_overlap_seconds,
        certificate_seconds=certificate_seconds,
        service=webhook_service,
        configuration=webhook_configuration,
        webhook_status=webhook_status,
        manage_webhook=manage_webhook,
        pod_name=pod_name,
        pod_uid=pod_uid,
    )
