"""Options of `warmpod controller` about the reports that it writes: what policies do to each workload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from webhook.cli.options import Decorated, FiniteRange, option

if TYPE_CHECKING:
    from webhook.controller.options import Reporting
    from webhook.kube.accelerator import Accelerators

_RATE = FiniteRange(min=0, min_open=True)


def reporting_options(function: Decorated) -> Decorated:
    """The options that `reporting_of` reads."""
    wrappers: list[Callable[[Decorated], Decorated]] = [
        option(
            "--policy-reports",
            is_flag=True,
            help="Write PolicyReports (wgpolicyk8s.io) and Reports (openreports.io), where served. Needs --policies.",
        ),
        option(
            "--policies",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="The policy files that the webhook beside this controller follows.",
        ),
        option(
            "--policy-report-seconds",
            type=FiniteRange(min=1, max=24 * 3600),
            default=300.0,
            help="Rest between two looks at all workloads.",
        ),
        option("--hydrator-image", default="", help="As the webhook has it: without it nothing is hydrated."),
        option(
            "--default-pod-security-level",
            type=click.Choice(["privileged", "baseline", "restricted"]),
            default="baseline",
            help="As the webhook has it, for namespaces without a PodSecurity label.",
        ),
        option("--image-bytes-per-second", type=_RATE, default=70e6, help="As the webhook has it."),
        option("--model-bytes-per-second", type=_RATE, default=400e6, help="As the webhook has it."),
        option(
            "--image-volumes",
            type=click.Choice(["auto", "on", "off"]),
            default="auto",
            help="As the webhook has it.",
        ),
    ]
    for wrapper in reversed(wrappers):
        function = wrapper(function)
    return function


def reporting_of(
    *,
    snapshot: Path,
    accelerators: Accelerators,
    policy_reports: bool,
    policies: Path | None,
    policy_report_seconds: float,
    hydrator_image: str,
    default_pod_security_level: str,
    image_bytes_per_second: float,
    model_bytes_per_second: float,
    image_volumes: Literal["auto", "on", "off"],
) -> Reporting | None:
    """What the options mean; None where no reports are wanted. A usage error for reports without policies."""
    from webhook.admission.decision import Settings
    from webhook.controller.options import Reporting
    from webhook.kube.podsecurity import Level

    if not policy_reports:
        return None
    if policies is None:
        raise click.UsageError("--policy-reports needs --policies DIR: what workloads are judged by")
    return Reporting(
        policies=policies,
        snapshot=snapshot,
        settings=Settings(
            hydrator_image=hydrator_image,
            accelerators=accelerators,
            default_level=Level(default_pod_security_level),
            image_bytes_per_second=image_bytes_per_second,
            model_bytes_per_second=model_bytes_per_second,
            image_volumes=image_volumes,
        ),
        seconds=policy_report_seconds,
    )
