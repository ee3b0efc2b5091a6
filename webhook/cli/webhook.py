"""`warmpod webhook`: flags and environment to a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from webhook.cli.errors import CouldNotRun
from webhook.cli.options import FiniteRange, accelerator_options, accelerators_of, examples, log_options, option

_FILE = click.Path(path_type=Path)
_PORT = click.IntRange(0, 65_535)
_POSITIVE = FiniteRange(min=0, min_open=True)


@click.command(
    epilog=examples(
        "warmpod webhook --policies policies --tls-cert tls.crt --tls-key tls.key --snapshot snapshot.json",
    )
)
@option(
    "--policies", type=_FILE, required=True, metavar="DIR", help="Directory of policy files, followed as it changes."
)
@option("--snapshot", type=_FILE, metavar="FILE", help="Inventory snapshot. Without it there is no placement.")
@option("--tls-cert", type=_FILE, required=True, metavar="FILE", help="PEM certificate chain, followed as it changes.")
@option("--tls-key", type=_FILE, required=True, metavar="FILE", help="PEM private key of --tls-cert.")
@option(
    "--tls-wait-seconds",
    type=FiniteRange(min=0),
    default=0.0,
    help="Wait at the start for a certificate, unready, with --port closed. 0: it must be there.",
)
@option(
    "--client-ca",
    type=_FILE,
    metavar="FILE",
    help="PEM authorities of clients' certificates, followed as it changes. Without it none is asked for.",
)
@option(
    "--client-name",
    "client_names",
    multiple=True,
    metavar="NAME",
    help="Common name or DNS name of a client that may ask. Without it all that --client-ca signed may.",
)
@option(
    "--bearer-token-file",
    type=_FILE,
    metavar="FILE",
    help="Tokens that let a caller ask, one a line, followed as it changes. Without it none is asked for.",
)
@option("--host", default="0.0.0.0", help="Address of /mutate.")  # noqa: S104  as Options.host
@option("--port", type=_PORT, default=8443, help="Port of /mutate, TLS. 0 takes a free one and logs it.")
@option("--metrics-host", default="0.0.0.0", help="Address of /livez, /readyz, /metrics, /status.")  # noqa: S104  as Options
@option("--metrics-port", type=_PORT, default=8080, help="Port of /livez, /readyz, /metrics, /status, plain HTTP.")
@option("--hydrator-image", default="", help="Image of the init container. Without it nothing is hydrated.")
@accelerator_options
@option(
    "--default-pod-security-level",
    type=click.Choice(["privileged", "baseline", "restricted"]),
    default="baseline",
    help="Level of namespaces without the pod-security label.",
)
@option("--image-bytes-per-second", type=_POSITIVE, default=70e6, help="What a node pulls, to estimate seconds saved.")
@option("--model-bytes-per-second", type=_POSITIVE, default=400e6, help="What the hydrator reads, likewise.")
@option(
    "--image-volumes",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    help="Whether pods may have image volumes; auto: where API server and kubelets are of Kubernetes 1.35 or later.",
)
@option("--reload-seconds", type=_POSITIVE, default=2.0, help="How often policies, snapshot and certificate are read.")
@option("--snapshot-max-age", type=_POSITIVE, default=120.0, help="Seconds after which a snapshot is not used.")
@option("--drain-seconds", type=FiniteRange(min=0), default=5.0, help="Serving, not ready, after SIGTERM.")
@option(
    "--record",
    type=_FILE,
    metavar="DIR",
    help="Record admissions here, for warmpod audit and warmpod replay. Without it none are recorded.",
)
@option(
    "--record-max-bytes",
    type=click.IntRange(min=1),
    default=64 * 2**20,
    help="Size at which a file of records ends; at most a quarter of --record-keep.",
)
@option(
    "--record-keep",
    type=click.IntRange(min=1),
    default=2**30,
    help="Bytes of records and inventories to keep; the oldest files go.",
)
@option(
    "--record-env-values",
    is_flag=True,
    help="Keep the values of all variables in records, but for those that look like secrets.",
)
@log_options
def command(
    *,
    policies: Path,
    snapshot: Path | None,
    tls_cert: Path,
    tls_key: Path,
    tls_wait_seconds: float,
    client_ca: Path | None,
    client_names: tuple[str, ...],
    bearer_token_file: Path | None,
    host: str,
    port: int,
    metrics_host: str,
    metrics_port: int,
    hydrator_image: str,
    accelerators: tuple[str, ...],
    device_classes: tuple[str, ...],
    default_pod_security_level: str,
    image_bytes_per_second: float,
    model_bytes_per_second: float,
    image_volumes: Literal["auto", "on", "off"],
    reload_seconds: float,
    snapshot_max_age: float,
    drain_seconds: float,
    record: Path | None,
    record_max_bytes: int,
    record_keep: int,
    record_env_values: bool,
    log_format: Literal["json", "text"],
    log_level: str,
) -> None:
    """Serve the mutating admission webhook over TLS.

    Runs until SIGTERM, then stays up unready for --drain-seconds, finishes what it was asked, and exits 0.
    """
    from webhook.admission.decision import Settings
    from webhook.daemon.logs import configure_logging
    from webhook.daemon.process import CannotStart
    from webhook.kube.podsecurity import Level
    from webhook.server.record_files import Recording
    from webhook.server.run import Options, run

    configure_logging(log_format, log_level)
    options = Options(
        policies=policies,
        snapshot=snapshot,
        certificate=tls_cert,
        key=tls_key,
        host=host,
        port=port,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        reload_seconds=reload_seconds,
        snapshot_max_age=snapshot_max_age,
        drain_seconds=drain_seconds,
        tls_wait_seconds=tls_wait_seconds,
        client_ca=client_ca,
        client_names=client_names,
        bearer_tokens=bearer_token_file,
        recording=Recording(record, record_max_bytes, record_keep, record_env_values) if record else None,
        settings=Settings(
            hydrator_image=hydrator_image,
            accelerators=accelerators_of(accelerators, device_classes),
            default_level=Level(default_pod_security_level),
            image_bytes_per_second=image_bytes_per_second,
            model_bytes_per_second=model_bytes_per_second,
            image_volumes=image_volumes,
        ),
    )
    try:
        run(options)
    except CannotStart as error:
        raise CouldNotRun(str(error)) from error
