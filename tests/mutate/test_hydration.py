"""The init container, what it is told, what it may reach; and the volumes of a cache at every PodSecurity level."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.kube import Object, names, podsecurity
from webhook.kube.podsecurity import Level
from webhook.mutate import credentials
from webhook.mutate.hydration import copied_resources

SPEC = """
  models:
    - name: weights
      source: {annotation: warmpod.dev/model}
      allow: ["s3://acme-models/*", "file:///fsx/models/*"]
      sourceVolume:
        volume: {name: fsx, persistentVolumeClaim: {claimName: fsx-models}}
        mountPath: /fsx
      cache: %s
      mountPath: /models
      placement: Off
"""
CACHES = (
    builders.SHARED_CACHE
    + """---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: claim}
spec:
  volume: {persistentVolumeClaim: {claimName: cache}}
  keepFree: 5%
"""
)
DIGEST = names.digest16(builders.MODEL)
TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
IRSA: dict[str, Any] = {
    "env": [
        {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::1:role/$(TEAM)"},
        {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{TOKEN}/token"},
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"key": "k", "name": "s"}}},
        {"name": "AWS_ENDPOINT_URL_S3", "value": "http://s3.example"},
        {"name": "HF_TOKEN", "value": "x"},
    ],
    "volumeMounts": [{"name": "aws-iam-token", "mountPath": TOKEN, "readOnly": True}],
}


def hydrated(sent: Object, *, cache: str = "nvme", level: Level = Level.PRIVILEGED) -> tuple[Object, str]:
    """The pod, and what the policy says of it."""
    labels = {names.LABEL_POD_SECURITY_ENFORCE: str(level)}
    decision = admit(builders.request(sent), builders.facts(builders.policy(SPEC % cache), CACHES, labels=labels))
    assert decision.violations == ()
    assert decision.pod is not None
    return decision.pod, decision.policies[0].reason


def init(pod: Object) -> Object:
    return next(c for c in pod["spec"]["initContainers"] if c["name"] == names.INIT_CONTAINER)


def test_the_container_in_full() -> None:
    told = {
        "cache": "/warmpod/cache/nvme",
        "directory": DIGEST,
        "keepFree": "20%",
        "name": "weights",
        "onFailure": "Retry",
        "source": "s3://acme-models/llama/",
        "tenant": "default",
    }
    pod, _ = hydrated(builders.gpu_pod())
    assert init(pod) == {
        "name": "warmpod-hydrate",
        "image": builders.HYDRATOR,
        "args": [
            "hydrate",
            f"--model={json.dumps(told, separators=(',', ':'))}",
        ],
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi"}},
        "volumeMounts": [
            {"name": "warmpod-cache-nvme", "mountPath": "/warmpod/cache/nvme", "subPath": "namespaces/default"}
        ],
    }


@pytest.mark.parametrize(
    ("cache", "level", "volume", "inside", "user"),
    [
        ("nvme", Level.PRIVILEGED, "hostPath", "namespaces/default", 0),
        ("nvme", Level.BASELINE, "emptyDir", None, 65532),
        ("nvme", Level.RESTRICTED, "emptyDir", None, 65532),
        ("shared", Level.PRIVILEGED, "hostPath", "cluster", 0),
        ("claim", Level.RESTRICTED, "persistentVolumeClaim", "namespaces/default", 65532),
    ],
)
def test_the_cache_by_pod_security_level(
    *, cache: str, level: Level, volume: str, inside: str | None, user: int
) -> None:
    pod, _ = hydrated(builders.gpu_pod(), cache=cache, level=level)
    (added,) = pod["spec"]["volumes"]
    assert volume in added
    assert init(pod)["volumeMounts"][0].get("subPath") == inside
    assert init(pod)["securityContext"]["runAsUser"] == user
    mounted = f"{inside}/{DIGEST}/current" if inside else f"{DIGEST}/current"
    assert pod["spec"]["containers"][0]["volumeMounts"] == [
        {"name": f"warmpod-cache-{cache}", "mountPath": "/models", "subPath": mounted, "readOnly": True}
    ]
    alone = {"metadata": {}, "spec": {"containers": [init(pod)], "volumes": [added]}}
    assert podsecurity.violations(alone, level) == ()


def test_a_cache_that_the_level_forbids_leaves_the_model_out() -> None:
    pod, told = hydrated(builders.gpu_pod(), cache="shared", level=Level.BASELINE)
    assert pod == builders.gpu_pod()
    assert told == "weights: PodSecurity level baseline of the namespace forbids cache shared"


def test_a_file_source_brings_its_volume_to_the_init_container_alone() -> None:
    pod, _ = hydrated(builders.gpu_pod("file:///fsx/models/llama"))
    assert pod["spec"]["volumes"][1] == {"name": "fsx", "persistentVolumeClaim": {"claimName": "fsx-models"}}
    assert init(pod)["volumeMounts"][1] == {"name": "fsx", "mountPath": "/fsx", "readOnly": True}
    assert [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]] == ["/models"]


def test_an_s3_source_does_not() -> None:
    pod, _ = hydrated(builders.gpu_pod())
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["warmpod-cache-nvme"]


def test_credentials_are_copied_and_nothing_else() -> None:
    sent = builders.gpu_pod(**IRSA)
    sent["spec"]["containers"][0]["env"].insert(0, {"name": "TEAM", "value": "a$$b"})
    sent["spec"]["volumes"] = [{"name": "aws-iam-token", "projected": {"sources": []}}]
    pod, _ = hydrated(sent)
    assert init(pod)["env"] == [
        {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::1:role/a$$b"},
        {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{TOKEN}/token"},
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"key": "k", "name": "s"}}},
        {"name": "AWS_ENDPOINT_URL_S3", "value": "http://s3.example"},
    ]
    assert IRSA["volumeMounts"][0] in init(pod)["volumeMounts"]


def test_a_cache_of_the_whole_cluster_is_filled_from_nobodys_endpoint() -> None:
    pod, _ = hydrated(builders.gpu_pod(**IRSA), cache="shared")
    assert credentials.ENDPOINTS.isdisjoint(entry["name"] for entry in init(pod)["env"])


BUNDLE = [{"name": "AWS_CA_BUNDLE", "value": "/etc/trust/ca.pem"}, {"name": "SSL_CERT_FILE", "value": "$(FILE)"}]
TRUST: dict[str, Any] = {
    "env": [{"name": "FILE", "value": "/etc/trust/ca.pem"}, *BUNDLE],
    "volumeMounts": [{"name": "trust", "mountPath": "/etc/trust/", "readOnly": True}],
}
RESOLVED = [BUNDLE[0], {"name": "SSL_CERT_FILE", "value": "/etc/trust/ca.pem"}]


@pytest.mark.parametrize(
    ("mounts", "volume", "travels"),
    [
        pytest.param(TRUST["volumeMounts"], {"configMap": {"name": "ca"}}, [0], id="ConfigMap"),
        pytest.param(TRUST["volumeMounts"], {"projected": {"sources": []}}, [0], id="projected"),
        pytest.param(TRUST["volumeMounts"], {"emptyDir": {}}, [], id="nothing that is there yet"),
        pytest.param([], {"configMap": {"name": "ca"}}, [], id="in the image"),
        pytest.param(
            [{"name": "trust", "mountPath": "/etc/trust/ca.pem", "subPath": "ca.pem"}],
            {"configMap": {"name": "ca"}},
            [0],
            id="the file itself",
        ),
        pytest.param(
            [{"name": "trust", "mountPath": "/etc/trust/ca.pem", "subPathExpr": "$(FILE)"}],
            {"configMap": {"name": "ca"}},
            [],
            id="by a variable that we do not have",
        ),
        pytest.param(
            [{"name": "data", "mountPath": "/etc/trust"}, {"name": "trust", "mountPath": "/etc"}],
            {"configMap": {"name": "ca"}},
            [],
            id="beneath another mount",
        ),
        pytest.param(
            [{"name": "data", "mountPath": "/etc"}, {"name": "trust", "mountPath": "/etc/trust"}],
            {"configMap": {"name": "ca"}},
            [1],
            id="above another mount",
        ),
    ],
)
def test_authorities_travel_with_the_mount_that_holds_them(
    mounts: list[Object], volume: Object, travels: list[int]
) -> None:
    sent = builders.gpu_pod(**{**TRUST, "volumeMounts": mounts})
    sent["spec"]["volumes"] = [{"name": "trust", **volume}, {"name": "data", "emptyDir": {}}]
    pod, _ = hydrated(sent)
    assert init(pod).get("env", []) == (RESOLVED if travels else [])
    assert init(pod)["volumeMounts"][1:] == [mounts[at] for at in travels]
    again, _ = hydrated(pod)
    assert again is pod


def test_a_cache_of_the_whole_cluster_is_filled_by_nobodys_authorities() -> None:
    sent = builders.edited(builders.gpu_pod(**TRUST), volumes=[{"name": "trust", "configMap": {"name": "ca"}}])
    pod, _ = hydrated(sent, cache="shared")
    assert "env" not in init(pod)
    assert len(init(pod)["volumeMounts"]) == 1


@pytest.mark.parametrize(
    "volume",
    [{"name": "aws-iam-token", "emptyDir": {}}, {"name": "other", "projected": {"sources": []}}],
    ids=["not projected", "another volume"],
)
def test_only_projected_tokens_travel_along(volume: Object) -> None:
    pod, _ = hydrated(builders.edited(builders.gpu_pod(**IRSA), volumes=[volume]))
    assert len(init(pod)["volumeMounts"]) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ["warmpod-hydrate"]),
        (["prepare"], ["warmpod-hydrate", "prepare"]),
        (["istio-init", "istio-proxy", "prepare"], ["istio-init", "istio-proxy", "warmpod-hydrate", "prepare"]),
        (["prepare", "istio-init"], ["warmpod-hydrate", "prepare", "istio-init"]),
        (["linkerd-init", "linkerd-proxy"], ["linkerd-init", "linkerd-proxy", "warmpod-hydrate"]),
    ],
)
def test_it_runs_after_the_network_and_before_the_authors_own(before: list[str] | None, after: list[str]) -> None:
    entries = None if before is None else [{"name": name, "image": "x"} for name in before]
    pod, _ = hydrated(builders.edited(builders.gpu_pod(), initContainers=entries))
    assert [container["name"] for container in pod["spec"]["initContainers"]] == after


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, {}),
        ([], {}),
        ({"requests": None, "limits": []}, {}),
        (
            {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "limits": {"memory": "1Gi", "hugepages-2Mi": "1Gi"}},
            {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        ),
        ({"claims": [{"name": "x"}], "limits": {"ephemeral-storage": 5}}, {"limits": {"ephemeral-storage": 5}}),
    ],
)
def test_resources_are_a_copy(resources: Any, expected: Object) -> None:
    assert copied_resources({"resources": resources}) == expected


def test_of_several_the_largest_that_asks_for_an_accelerator() -> None:
    def sized(name: str, memory: str, gpus: int) -> Object:
        made = builders.container(name, gpus=gpus)
        made["resources"]["requests"]["memory"] = memory
        return made

    sent = builders.gpu_pod()
    sent["spec"]["containers"] = [sized("a", "900Gi", 0), sized("b", "2Gi", 1), sized("c", "4096Mi", 1)]
    pod, _ = hydrated(sent)
    assert init(pod)["resources"]["requests"]["memory"] == "4096Mi"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"volumeMounts": [{"name": "mine", "mountPath": "/models/"}]}, "vllm mounts its own at /models"),
        ({"name": "other"}, ""),
    ],
)
def test_a_path_that_is_taken_stays_taken(change: dict[str, Any], why: str) -> None:
    pod, told = hydrated(builders.gpu_pod(**change))
    assert (told == f"weights: {why}") is bool(why)
    assert ("initContainers" in pod["spec"]) is not bool(why)


def test_arguments_survive_the_kubelets_expansion() -> None:
    spec = SPEC.replace("keepFree", "x") % "claim"
    decision = admit(builders.request(builders.gpu_pod()), builders.facts(builders.policy(spec), CACHES))
    assert decision.pod is not None
    argument = init(decision.pod)["args"][1]
    assert "$(" not in argument.replace("$$", "")
    assert json.loads(argument.removeprefix("--model=").replace("$$", "$"))["keepFree"] == "5%"
