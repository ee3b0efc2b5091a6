"""The whole process looks after an installation: certificates, registration, its own Lease, all at once."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from certs.issue import check_pair
from tests.controller.kube_server import LEASES, NAMESPACE, until
from tests.controller.registrations import BACKUP, CONFIGURATION, DEPLOYMENT, OWN, configuration, hook
from tests.controller.test_run import Stage, play
from tests.scripted_http import Answer
from webhook.cli.main import main
from webhook.controller import permissions
from webhook.controller.permissions import Call
from webhook.kube import names
from webhook.sources.kube_api import permissions as inventory_permissions

SECRET = f"{OWN}/secrets/{names.TLS_SECRET}"
REPLICA = f"{LEASES}/warmpod-replica-pod-a"


def install(stage: Stage) -> list[str]:
    """An installation whose registration trusts nobody yet; the flags of a controller of it."""
    (stage.directory / "tls").mkdir(exist_ok=True)
    server = stage.server
    server.put(OWN, {"kind": "Namespace", "metadata": {}, "status": {"phase": "Active"}})
    server.put(DEPLOYMENT, {"kind": "Deployment", "metadata": {}, "spec": {"replicas": 2}})
    plain = hook(clientConfig={"service": hook()["clientConfig"]["service"]})
    server.put(CONFIGURATION, configuration(plain))
    return [
        f"--tls-secret={names.TLS_SECRET}",
        f"--tls-directory={stage.directory / 'tls'}",
        "--certificate-seconds=0.2",
        "--tls-settle-seconds=0",
        "--manage-webhook",
        "--pod-name=pod-a",
        "--webhook-status=",
    ]


def calls(stage: Stage) -> set[Call]:
    """What was asked, as RBAC names it; without what is asked for the inventory."""
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    found = set()
    for one in stage.server.seen:
        parts = one.path.strip("/").split("/")
        if len(parts) == 1:
            continue  # discovery, which everybody may ask for
        group = "" if parts[0] == "api" else parts[1]
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if rest[0] == "namespaces" and len(rest) > 2:
            rest = rest[2:]
        resource, name = rest[0], rest[1] if len(rest) > 1 else ""
        verb = verbs.get(one.method) or ("get" if name else "watch" if "watch" in one.query else "list")
        if (group, resource, verb) not in inventory_permissions.CALLS:
            found.add(Call(group, resource, verb, "" if resource == "leases" else name))
    return found


def test_an_installation_from_nothing_to_its_end(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        flags, server = install(stage), stage.server
        controller = await stage.start(*flags)
        crt, key = (stage.directory / "tls" / name for name in ("tls.crt", "tls.key"))
        await until(lambda: crt.exists() and key.exists())
        condition = "[+] certificates: steady"
        await until(lambda: "caBundle" in json.dumps(server.objects[CONFIGURATION]))
        await until(lambda: BACKUP in server.objects and REPLICA in server.objects)

        def told() -> Any:
            return json.loads(server.objects[REPLICA]["metadata"]["annotations"][names.ANNOTATION_STATUS])

        await until(lambda: told()["controller"]["leading"])
        text = await controller.tells(condition, "[+] registration: leads to us", "[+] replica: reported")
        assert not [name for name in (NAMESPACE, "pod-a", "gpu-0") if name in text]
        exposition = (await controller.get("/metrics"))[1]
        assert not [name for name in (NAMESPACE, "pod-a", "gpu-0", "snapshot.json") if name in exposition]
        assert await controller.metric("warmpod_controller_webhook_configuration_ok") == 1
        assert await controller.metric("warmpod_controller_certificate_problem") == 0
        assert await controller.metric('warmpod_controller_certificate_rotations_total{kind="leaf"}') == 0
        served = check_pair(crt.read_bytes(), key.read_bytes(), datetime.now(UTC))
        expiry = await controller.metric(
            'warmpod_controller_certificate_expiry_timestamp_seconds{certificate="serving"}'
        )
        assert expiry == served.not_after.timestamp()

        secret = server.objects[SECRET]
        before = crt.read_bytes()
        asked = {**secret["metadata"]["annotations"], names.ANNOTATION_ROTATE: "leaf"}
        server.put(SECRET, {**secret, "metadata": {**secret["metadata"], "annotations": asked}})
        await until(lambda: crt.read_bytes() != before)
        assert check_pair(crt.read_bytes(), key.read_bytes(), datetime.now(UTC)).serial != served.serial
        assert await controller.metric('warmpod_controller_certificate_rotations_total{kind="leaf"}') == 1

        del server.objects[CONFIGURATION]
        await until(lambda: CONFIGURATION in server.objects)
        await until(lambda: "caBundle" in json.dumps(server.objects[CONFIGURATION]))
        await controller.counts("warmpod_controller_webhook_configuration_restored_total", 1)

        assert await controller.end() == 0
        assert REPLICA not in server.objects
        assert server.holder == ""
        allowed = permissions.LEASES | permissions.REGISTRATION | permissions.CERTIFICATES | permissions.RESTORATION
        assert calls(stage) <= allowed
        assert allowed - calls(stage) <= {
            Call("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch", "warmpod"),
            Call("", "configmaps", "update", names.WEBHOOK_BACKUP),
            Call("coordination.k8s.io", "leases", "update"),
        }
        lines = json.dumps(controller.lines)
        assert not [
            name for name, value in server.objects[SECRET]["data"].items() if value in lines or value in exposition
        ], "no key is told"

    play(tmp_path, scenario)


def test_what_is_forbidden_holds_up_neither_snapshot_nor_labels(tmp_path: Path) -> None:
    places = ("secrets", "mutatingwebhookconfigurations", "leases/warmpod-replica", "events", "configmaps")

    async def scenario(stage: Stage) -> None:
        flags = install(stage)
        stage.server.fault = lambda _method, path: Answer(403) if any(one in path for one in places) else None
        controller = await stage.start(*flags)
        await until(lambda: stage.labelled() == {"gpu-0", "gpu-1"})
        await until(controller.snapshot.exists)
        status, text = await controller.get("/readyz?verbose")
        assert status == 200, text
        stage.server.fault = lambda _method, _path: None
        await until(lambda: SECRET in stage.server.objects and REPLICA in stage.server.objects)
        assert await controller.end() == 0

    play(tmp_path, scenario)


def test_certificates_do_not_wait_for_a_cluster_that_cannot_be_listed(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        flags = install(stage)
        stage.server.fault = lambda _method, path: Answer(500) if path == "/api/v1/pods" else None
        controller = await stage.start(*flags)
        await until((stage.directory / "tls" / "tls.crt").exists)
        assert stage.labelled() == set()
        assert not controller.snapshot.exists()
        await controller.end(signal.SIGKILL)

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--manage-webhook", "--webhook-configuration="], "--manage-webhook needs --webhook-configuration"),
        (["--tls-secret=x", "--webhook-configuration="], "--tls-secret needs --webhook-configuration"),
        (["--pod-uid=u"], "--pod-uid needs --pod-name"),
        (["--webhook-status=localhost:8080"], "--webhook-status"),
        (["--tls-settle-seconds=-1"], "--tls-settle-seconds"),
        (["--certificate-seconds=0"], "--certificate-seconds"),
    ],
    ids=["restore nothing", "trusted by nobody", "a pod without a name", "no URL", "negative", "no pause"],
)
def test_flags_that_do_not_fit_are_refused(tmp_path: Path, flags: list[str], words: str) -> None:
    command: click.Command = main
    done = CliRunner().invoke(command, ["controller", f"--snapshot={tmp_path / 's'}", *flags])
    assert done.exit_code == 2
    assert words in done.output


def test_a_name_that_is_none_is_said_in_one_sentence(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        install(stage)
        child = await stage.command(
            f"--snapshot={tmp_path / 's'}", "--metrics-port=0", f"--tls-secret={names.TLS_SECRET}", "--tls-name=a b"
        )
        _, error = await child.communicate()
        assert child.returncode == 2
        assert error.decode().startswith("error: --tls-name: ")
        assert error.count(b"\n") == 1

    play(tmp_path, scenario)
