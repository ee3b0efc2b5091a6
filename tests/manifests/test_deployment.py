"""The Deployment: its settings are flags of the code, ports, paths and times the code's, and it runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import click
import pytest

from tests.manifests import rendered
from tests.manifests.rendered import Document
from webhook import __version__
from webhook.cli import controller, main, webhook
from webhook.kube import names, podsecurity
from webhook.sandbox.webhook import HYDRATOR_IMAGE
from webhook.sources.kube_api.credentials import SERVICE_ACCOUNT

pytestmark = pytest.mark.cluster

IMAGE = f"ghcr.io/warmpod/warmpod:{__version__}"
COMMANDS: Final[Mapping[str, click.Command]] = {"webhook": webhook.command, "controller": controller.command}
POD = {"metadata.name": "warmpod-0", "metadata.namespace": names.SYSTEM_NAMESPACE, "metadata.uid": "u"}
LABELS = {"app.kubernetes.io/name": "warmpod", "app.kubernetes.io/component": "webhook"}

every_overlay = pytest.mark.parametrize("overlay", rendered.OVERLAYS)
each_command = pytest.mark.parametrize("name", COMMANDS)


def base() -> list[Document]:
    """The base alone. Not at import: that would need kubectl to collect any test."""
    return rendered.composed()


def spec() -> Document:
    """The spec of its pods."""
    return rendered.pod_spec(base())


def settings(found: Document, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command makes of the container's arguments and variables."""
    assert found["args"][0] == found["name"]
    for variable, value in rendered.variables(found).items():
        monkeypatch.setenv(variable, POD.get(value, value))
    command = COMMANDS[found["name"]]
    return command.make_context(found["name"], list(found["args"][1:])).params


@every_overlay
@each_command
def test_every_variable_is_a_flag_and_every_value_is_understood(
    overlay: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered.container(rendered.overlay(overlay), name)
    flags = {each.envvar for each in COMMANDS[name].params if isinstance(each, click.Option)}
    assert set(rendered.variables(found)) <= flags
    assert settings(found, monkeypatch)
    assert main.main.get_command(click.Context(main.main), found["args"][0]) is COMMANDS[name]


@each_command
def test_a_setting_that_the_command_does_not_know_would_be_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendered.container(base(), name)
    wrong = {**found, "env": [*found["env"], {"name": "WARMPOD_METRICS_PORT", "value": "eighty"}]}
    with pytest.raises(click.UsageError):
        settings(wrong, monkeypatch)


def test_the_settings_name_what_the_code_names(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(rendered.container(base(), "controller"), monkeypatch)
    assert told["tls_secret"] == names.TLS_SECRET
    assert told["webhook_service"] == rendered.named(base(), "Service", names.WEBHOOK_SERVICE)["metadata"]["name"]
    assert told["webhook_configuration"] == names.WEBHOOK_CONFIGURATION
    assert told["lease_name"] == names.CONTROLLER_LEASE
    assert told["lease_namespace"] == names.SYSTEM_NAMESPACE
    assert told["pod_name"] == told["identity"] == "warmpod-0"
    assert told["pod_uid"] == "u"
    assert not told["manage_webhook"]
    assert not told["no_labels"]
    [policies] = [each for each in spec()["volumes"] if each["name"] == "policies"]
    assert policies["configMap"]["name"] == names.POLICIES_CONFIG_MAP
    assert rendered.named(base(), "Deployment", names.DEPLOYMENT)
    assert rendered.named(base(), "MutatingWebhookConfiguration", names.WEBHOOK_CONFIGURATION)


def test_ports_are_those_that_the_processes_listen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    served, kept = rendered.container(base(), "webhook"), rendered.container(base(), "controller")
    ports = {each["name"]: each["containerPort"] for each in served["ports"] + kept["ports"]}
    told = settings(served, monkeypatch)
    assert (told["port"], told["metrics_port"]) == (ports["webhook"], ports["metrics"])
    status = settings(kept, monkeypatch)
    assert status["metrics_port"] == ports["metrics-ctrl"]
    assert status["webhook_status"] == f"http://127.0.0.1:{ports['metrics']}/status"
    [port] = rendered.named(base(), "Service", names.WEBHOOK_SERVICE)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "webhook")
    everyone, inside = rendered.named(base(), "NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in everyone["ports"]] == [ports["webhook"]]
    assert "from" not in everyone
    assert {each["port"] for each in inside["ports"]} == {ports["metrics"], ports["metrics-ctrl"]}
    assert len(set(ports.values())) == 3


WRITTEN = {"controller": {"snapshot", "tls_directory"}, "webhook": set[str]()}
READ = {"controller": {"policies"}, "webhook": {"policies", "snapshot", "tls_cert", "tls_key"}}


def place(found: Document, path: PurePosixPath) -> tuple[str, bool]:
    """The volume that a path of the container lies in, and whether it can be written."""
    mounts = [each for each in found["volumeMounts"] if path.is_relative_to(each["mountPath"])]
    assert len(mounts) == 1, path
    return mounts[0]["name"], not mounts[0].get("readOnly", False)


@each_command
def test_every_path_lies_in_a_volume_that_can_be_written_by_whom_it_must(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered.container(base(), name)
    told = settings(found, monkeypatch)
    for setting in WRITTEN[name]:
        assert place(found, PurePosixPath(told[setting]))[1], setting
    for setting in READ[name]:
        assert not place(found, PurePosixPath(told[setting]))[1], setting
    paths = {key for key, value in told.items() if isinstance(value, PurePosixPath)}
    assert paths == WRITTEN[name] | READ[name]


def test_the_two_containers_mean_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    served, kept = rendered.container(base(), "webhook"), rendered.container(base(), "controller")
    reading, writing = settings(served, monkeypatch), settings(kept, monkeypatch)
    assert reading["snapshot"] == writing["snapshot"]
    assert reading["policies"] == writing["policies"]
    assert reading["tls_cert"] == writing["tls_directory"] / "tls.crt"
    assert reading["tls_key"] == writing["tls_directory"] / "tls.key"
    for path in (reading["snapshot"], reading["tls_key"], reading["policies"]):
        assert place(served, path)[0] == place(kept, path)[0]
    kinds = {each["name"]: each for each in spec()["volumes"]}
    assert kinds["tls"]["emptyDir"]["medium"] == "Memory", "a private key is never on a disk"


@every_overlay
def test_only_the_controller_has_a_token(overlay: str) -> None:
    pod = rendered.pod_spec(rendered.overlay(overlay))
    assert pod["automountServiceAccountToken"] is False
    holders = {
        each["name"]
        for each in pod["containers"] + pod.get("initContainers", [])
        for mount in each["volumeMounts"]
        if mount["name"] == "token"
    }
    assert holders == {"controller"}
    [token] = [each for each in pod["volumes"] if each["name"] == "token"]
    files = [
        each.get("serviceAccountToken") or next(iter(each.values()))["items"][0]
        for each in token["projected"]["sources"]
    ]
    assert {each["path"] for each in files} == {"token", "ca.crt", "namespace"}
    mount = next(each for each in rendered.container(base(), "controller")["volumeMounts"] if each["name"] == "token")
    assert mount["mountPath"] == str(SERVICE_ACCOUNT)
    assert not any("serviceAccountToken" in str(each) for each in pod["volumes"] if each["name"] != "token")


@every_overlay
def test_a_restricted_namespace_admits_the_pod(overlay: str) -> None:
    documents = rendered.overlay(overlay)
    pod = {"metadata": {}, "spec": rendered.pod_spec(documents)}
    assert podsecurity.violations(pod, podsecurity.Level.RESTRICTED) == ()
    for each in rendered.pod_spec(documents)["containers"]:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True


@every_overlay
def test_nothing_is_throttled_and_nothing_grows_without_end(overlay: str) -> None:
    pod = rendered.pod_spec(rendered.overlay(overlay))
    for each in pod["containers"] + pod.get("initContainers", []):
        assert set(each["resources"]["limits"]) == {"memory"}, "a limit of CPU would stop reviews half way"
        assert set(each["resources"]["requests"]) == {"cpu", "memory"}
    for each in pod["volumes"]:
        assert "emptyDir" not in each or "sizeLimit" in each["emptyDir"], each["name"]


def test_probes_are_patient_and_no_controller_takes_its_webhook_out_of_service() -> None:
    served, kept = rendered.container(base(), "webhook"), rendered.container(base(), "controller")
    for found, port in ((served, "metrics"), (kept, "metrics-ctrl")):
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez")):
            assert found[probe]["httpGet"] == {"path": path, "port": port}
            assert found[probe]["periodSeconds"] * found[probe]["failureThreshold"] >= 60
            assert found[probe]["timeoutSeconds"] >= 5
    assert served["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert "readinessProbe" not in kept


def test_it_is_given_the_time_that_its_end_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(rendered.container(base(), "webhook"), monkeypatch)
    assert spec()["terminationGracePeriodSeconds"] >= told["drain_seconds"] + 15, "docs/webhook.md, SIGTERM"
    readiness = rendered.container(base(), "webhook")["readinessProbe"]
    assert readiness["periodSeconds"] <= told["drain_seconds"], "endpoints learn of it while it still serves"


def test_a_first_start_waits_for_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(rendered.container(base(), "webhook"), monkeypatch)["tls_wait_seconds"] >= 60


@every_overlay
def test_a_roll_out_and_a_drain_leave_somebody_serving_and_are_never_blocked(overlay: str) -> None:
    documents = rendered.overlay(overlay)
    deployment, budget = rendered.named(documents, "Deployment"), rendered.named(documents, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] >= 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_overlay
def test_one_selector_finds_the_pods(overlay: str) -> None:
    documents = rendered.overlay(overlay)
    deployment = rendered.named(documents, "Deployment")["spec"]
    assert deployment["selector"]["matchLabels"] == LABELS
    assert deployment["template"]["metadata"]["labels"].items() >= LABELS.items()
    assert rendered.named(documents, "Service", names.WEBHOOK_SERVICE)["spec"]["selector"] == LABELS
    assert rendered.named(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == LABELS
    for each in deployment["template"]["spec"]["topologySpreadConstraints"]:
        assert each["labelSelector"]["matchLabels"] == LABELS
        assert each["matchLabelKeys"] == ["pod-template-hash"]
    policy = rendered.named(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= LABELS.items()
    job = rendered.named(rendered.removal(), "Job", "warmpod-cleanup")["spec"]["template"]["metadata"]["labels"]
    assert policy.items() <= job.items(), "the cleanup talks to the API server, too"
    assert not job.items() >= LABELS.items(), "and is no endpoint of the Service"


def test_it_starts_on_any_cluster_and_keeps_off_the_accelerators() -> None:
    assert all(each["whenUnsatisfiable"] == "ScheduleAnyway" for each in spec()["topologySpreadConstraints"])
    assert set(spec()["affinity"]) == {"nodeAffinity"}
    assert set(spec()["affinity"]["nodeAffinity"]) == {"preferredDuringSchedulingIgnoredDuringExecution"}
    [one] = spec()["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert {each["operator"] for each in one["preference"]["matchExpressions"]} == {"DoesNotExist"}
    assert "tolerations" not in spec()
    assert spec()["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "hostNetwork" not in spec()


def test_its_priority_drives_nobody_out() -> None:
    found = rendered.named(base(), "PriorityClass", spec()["priorityClassName"])
    assert found["preemptionPolicy"] == "Never"
    assert not found.get("globalDefault", False)
    assert 0 < found["value"] <= 1_000_000_000, "more is the system's"


def test_names_and_the_api_servers_ports_stay_reachable() -> None:
    egress = rendered.named(base(), "NetworkPolicy")["spec"]["egress"]
    assert all("to" not in each for each in egress), "neither address is known"
    ports = {(each["port"], each["protocol"]) for rule in egress for each in rule["ports"]}
    assert ports >= {(53, "UDP"), (53, "TCP"), (443, "TCP"), (6443, "TCP")}


def images(documents: list[Document]) -> set[str]:
    """Every image that is named, but for those of others."""
    pods = [each["spec"]["template"]["spec"] for each in documents if each["kind"] in ("Deployment", "Job")]
    containers = [each for pod in pods for each in pod["containers"] + pod.get("initContainers", [])]
    hydrators = {rendered.variables(each).get("WARMPOD_HYDRATOR_IMAGE") for each in containers}
    return {each["image"] for each in containers if "git-sync" not in each["image"]} | (hydrators - {None})  # type: ignore[operator]  # None is taken out


@every_overlay
def test_one_image_of_this_version_everywhere(overlay: str) -> None:
    assert images(rendered.overlay(overlay)) == {IMAGE} == {HYDRATOR_IMAGE} == images(rendered.removal())


@pytest.mark.parametrize(
    ("change", "image"),
    [
        ({"newTag": "9.9.9"}, "ghcr.io/warmpod/warmpod:9.9.9"),
        ({"newName": "registry.example.com/warmpod"}, f"registry.example.com/warmpod:{__version__}"),
        (
            {"newName": "r.example.com:5000/w", "digest": f"sha256:{'0' * 64}"},
            f"r.example.com:5000/w@sha256:{'0' * 64}",
        ),
    ],
    ids=["tag", "registry", "digest"],
)
@every_overlay
def test_a_users_images_change_the_hydrator_too(
    tmp_path: Path, overlay: str, change: dict[str, str], image: str
) -> None:
    user = {
        "resources": [rendered.MANIFESTS / "overlays" / overlay],
        "images": [{"name": "ghcr.io/warmpod/warmpod", **change}],
    }
    assert images(rendered.render(rendered.written(tmp_path, user))) == {image}
