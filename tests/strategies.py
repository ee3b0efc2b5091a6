"""Pods as hypothesis draws them: what people write, what they should not write, and what other webhooks add.

Every list and map is sometimes absent, null or empty; users have entries that bear our names; required terms are
sometimes empty. `sound_pods` are such that an API server would take them, except where a law must hold for more.

A strategy is made once and drawn from often: making one costs hypothesis more than drawing from it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests import builders
from webhook.kube import Object, names

_ABSENT = object()

MODELS = (
    "s3://acme-models/llama/",
    "s3://acme-models/qwen",
    "file:///fsx/models/llama/",
    "oci://ghcr.io/acme/llama:v1",
)
HOSTILE_SOURCES = (
    "s3://evil/llama/",
    "s3://acme-models/../evil/",
    "s3://acme-models/$(SECRET)/",
    "s3://acme-models/a\nb/",
    "s3://acme-models//x",
    'x","source":"s3://evil/',
    "/models",
    "",
    "s3://acme-models/" + "x" * 5000,
)
SOURCES = MODELS * 5 + HOSTILE_SOURCES

RESTRICTED: Object = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_ENV: tuple[Object, ...] = (
    {"name": "AWS_REGION", "value": "us-east-1"},
    {"name": "AWS_ROLE_ARN", "value": "arn:aws:iam::1:role/$(TEAM)"},
    {"name": "TEAM", "value": "a$$b"},
    {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"},
    {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret"}}},
    {"name": "AWS_ENDPOINT_URL_S3", "value": "http://s3.example"},
    {"name": "AWS_CA_BUNDLE", "value": "/etc/trust/ca.pem"},
    {"name": "AWS_CONFIG_FILE", "value": "/home/me/.aws/config"},
    {"name": "AWS_PROFILE", "value": "me"},
    {"name": "AWS_MAX_ATTEMPTS", "value": "3"},
    {"name": "NCCL_DEBUG"},
    {"name": "MODEL_ID", "value": "s3://acme-models/llama"},
    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
)
_MOUNTS: tuple[Object, ...] = (
    {"name": "data", "mountPath": "/data"},
    {"name": "dshm", "mountPath": "/dev/shm"},
    {"name": "data", "mountPath": "/models/"},
    {"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount", "readOnly": True},
    {"name": "warmpod-cache-nvme", "mountPath": "/stolen"},
    {"name": "trust", "mountPath": "/etc/trust"},
    {"name": "models", "mountPath": "/models", "subPath": "llama", "readOnly": True},
    {"name": "warmpod-model-weights", "mountPath": "/models"},
)
_VOLUMES: tuple[Object, ...] = (
    {"name": "data", "emptyDir": {}},
    {"name": "dshm", "emptyDir": {"medium": "Memory"}},
    {"name": "warmpod-cache-nvme", "emptyDir": {}},
    {"name": "warmpod-aws-config", "configMap": {"name": "mine"}},
    {"name": "fsx", "persistentVolumeClaim": {"claimName": "other"}},
    {"name": "trust", "configMap": {"name": "ca"}},
    {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
    {"name": "warmpod-model-weights", "image": {"reference": "ghcr.io/acme/llama:v1", "pullPolicy": "Always"}},
    {
        "name": "aws-iam-token",
        "projected": {"sources": [{"serviceAccountToken": {"audience": "sts.amazonaws.com", "path": "token"}}]},
    },
)
_ARGS = (
    "serve",
    "--model",
    "--model=s3://acme-models/llama/",
    "s3://acme-models/llama",
    "--model=$(MODEL_ID)",
    "--model=oci://ghcr.io/acme/llama:v1",
    "--x=s3://evil/llama/",
    "--flag",
)
_REQUIREMENTS: tuple[Object, ...] = (
    {"key": "zone", "operator": "In", "values": ["a", "b"]},
    {"key": "zone", "operator": "NotIn", "values": ["a"]},
    {"key": "cores", "operator": "Gt", "values": ["8"]},
    {"key": "gpu", "operator": "Exists"},
    {"key": names.image_label(builders.CANONICAL_IMAGE), "operator": "In", "values": [names.NODE_LABEL_WARM]},
)
_TOLERATIONS: tuple[Object, ...] = (
    {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "gpu", "operator": "Equal", "value": "no"},
    {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
)


def optional(field: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What a field may be besides its value: absent (`_ABSENT`), null."""
    return st.one_of(st.just(_ABSENT), st.none(), field, field)


def without_absent(fields: Object) -> Object:
    """An object of those fields that are there."""
    return {key: value for key, value in fields.items() if value is not _ABSENT}


def subset(entries: tuple[Any, ...], most: int = 4) -> st.SearchStrategy[list[Any]]:
    """Some of the entries, each at most once, in any order."""
    return st.lists(st.sampled_from(entries), max_size=most, unique_by=str)


_AMOUNTS = {"cpu": ("500m", "4"), "memory": ("1Gi", "64Gi", "512Mi"), "ephemeral-storage": ("10Gi",)}
_SOME_AMOUNTS = st.sets(st.sampled_from(sorted(_AMOUNTS)))


@cache
@st.composite
def resources(draw: st.DrawFn, gpus: bool) -> Object:
    """Requests and limits of any QoS class."""
    chosen = draw(_SOME_AMOUNTS)
    limits = {name: draw(st.sampled_from(_AMOUNTS[name])) for name in sorted(chosen)}
    requests = limits if draw(st.booleans()) else {name: _AMOUNTS[name][0] for name in sorted(chosen)}
    if draw(st.booleans()):
        requests = {}
    found: Object = {"limits": dict(limits), "requests": dict(requests)}
    if gpus:
        found["limits"]["nvidia.com/gpu"] = found["requests"]["nvidia.com/gpu"] = "1"
    return found


_IMAGES = st.sampled_from([builders.IMAGE, "busybox", "Not A Reference", builders.HYDRATOR, "amazon/aws-cli:2.38.1"])
_SOME_ENV = optional(subset(_ENV, 6))
_SOME_ARGS = optional(st.lists(st.sampled_from(_ARGS), max_size=3))
_SOME_COMMAND = optional(st.lists(st.sampled_from(_ARGS), max_size=2))
_SOME_MOUNTS = optional(subset(_MOUNTS, 2))
_FUTURE_OBJECT = optional(st.builds(lambda: {"a": [1, True, None]}))


@cache
@st.composite
def containers(draw: st.DrawFn, name: str, *, restricted: bool, gpus: bool | None = None) -> Object:
    """A container of this name."""
    wants = draw(st.booleans()) if gpus is None else gpus
    fields: Object = {
        "name": name,
        "image": draw(_IMAGES),
        "resources": draw(resources(wants)),
        "env": draw(_SOME_ENV),
        "args": draw(_SOME_ARGS),
        "command": draw(_SOME_COMMAND),
        "volumeMounts": draw(_SOME_MOUNTS),
        "securityContext": dict(RESTRICTED) if restricted else _ABSENT,
        "futureField": draw(_FUTURE_OBJECT),
    }
    return without_absent(fields)


def _foreign_hydrate(restricted: bool) -> st.SearchStrategy[Object]:
    arguments = st.lists(
        st.sampled_from(["hydrate", '--model={"source":"s3://evil/"}', "--model=[", "--model=" + "[" * 3000]),
        max_size=3,
    )
    images = st.sampled_from([builders.HYDRATOR, "evil"])
    security = dict(RESTRICTED) if restricted else {}
    return st.builds(
        lambda image, args: {
            "name": names.INIT_CONTAINER,
            "image": image,
            "args": args,
            "securityContext": {**security},
        },
        images,
        arguments,
    )


def _init_containers(restricted: bool) -> st.SearchStrategy[list[Object]]:
    clean = {"securityContext": dict(RESTRICTED)} if restricted else {}
    known: tuple[Object, ...] = (
        {"name": "istio-init", "image": "istio", **clean},
        {"name": "istio-proxy", "image": "istio", "restartPolicy": "Always", **clean},
        {"name": "prepare", "image": "busybox", "resources": {"requests": {"cpu": "32", "memory": "256Gi"}}, **clean},
    )
    foreign: st.SearchStrategy[list[Object]] = st.one_of(
        st.just([]), st.just([]), st.lists(_foreign_hydrate(restricted), min_size=1, max_size=1)
    )
    return st.builds(lambda some, more: [*some, *more], subset(known, 3), foreign)


_REQUIREMENT = st.sampled_from(_REQUIREMENTS)
_TERM = st.one_of(
    st.builds(dict),
    st.builds(lambda some: {"matchExpressions": some}, st.lists(_REQUIREMENT, max_size=2)),
    st.builds(lambda: {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]}),
)
_REQUIRED = optional(st.builds(lambda terms: {"nodeSelectorTerms": terms}, st.lists(_TERM, max_size=3)))
_PREFERRED = optional(
    st.lists(st.builds(lambda one: {"weight": 7, "preference": {"matchExpressions": [one]}}, _REQUIREMENT), max_size=3)
)
_TWICE_IN_THREE = st.sampled_from([True, True, False])


@st.composite
def affinities(draw: st.DrawFn) -> Object:
    """Node affinity with required terms, also empty ones, and preferred terms, also ours."""
    node = without_absent(
        {
            "requiredDuringSchedulingIgnoredDuringExecution": draw(_REQUIRED),
            "preferredDuringSchedulingIgnoredDuringExecution": draw(_PREFERRED),
        }
    )
    return {"nodeAffinity": node if draw(_TWICE_IN_THREE) else None, "podAntiAffinity": {"x": []}}


_OTHER_CONTAINERS = subset(("app", "logs"), 2)
_ANNOTATIONS = optional(
    st.fixed_dictionaries(
        {},
        optional={
            names.ANNOTATION_MODEL: st.sampled_from(SOURCES),
            "example.com/other": st.just("x"),
            names.ANNOTATION_AWS_CONFIG: st.just("[default]\nforged = yes\n"),
            names.ANNOTATION_DECISION: st.just("forged"),
            names.ANNOTATION_SKIP: st.sampled_from(["false", "yes"]),
        },
    )
)
_LABELS = optional(st.builds(lambda: {"app": "vllm"}))
_SOME_VOLUMES = optional(subset(_VOLUMES, 4))
_INIT_CONTAINERS = {restricted: optional(_init_containers(restricted)) for restricted in (False, True)}
_AFFINITY = optional(affinities())
_NODE_NAME = st.sampled_from([_ABSENT] * 9 + ["gpu-1"])
_NODE_SELECTOR = optional(
    st.builds(dict, st.sampled_from([{"zone": "a"}, {"node.kubernetes.io/instance-type": "p5.48xlarge"}]))
)
_SOME_TOLERATIONS = optional(subset(_TOLERATIONS))
_FUTURE_LIST = optional(st.builds(lambda: [{"name": "kept"}]))


@cache
@st.composite
def sound_pods(draw: st.DrawFn, *, restricted: bool | None = None) -> Object:
    """A pod that an API server could send. `restricted`: one that passes the PodSecurity level of that name."""
    clean = draw(st.booleans()) if restricted is None else restricted
    found = [draw(containers("vllm", restricted=clean, gpus=True))]
    found += [draw(containers(name, restricted=clean)) for name in draw(_OTHER_CONTAINERS)]
    # A volume that containers mount is there, one or another.
    volumes = draw(_SOME_VOLUMES)
    mounted = {m["name"] for c in found for m in c.get("volumeMounts") or ()}
    missing = mounted - {volume["name"] for volume in (volumes if isinstance(volumes, list) else ())}
    if missing:
        more = [volume for volume in _VOLUMES if volume["name"] in missing]
        volumes = [*(volumes if isinstance(volumes, list) else ()), *more]
    metadata = without_absent(
        {
            "generateName": "llm-",
            "annotations": draw(_ANNOTATIONS),
            "labels": draw(_LABELS),
            "managedFields": [{"manager": "x"}],
        }
    )
    spec = without_absent(
        {
            "containers": found,
            "initContainers": draw(_INIT_CONTAINERS[clean]),
            "volumes": volumes,
            "affinity": draw(_AFFINITY),
            "nodeName": draw(_NODE_NAME),
            "nodeSelector": draw(_NODE_SELECTOR),
            "tolerations": draw(_SOME_TOLERATIONS),
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} if clean else {},
            "futureField": draw(_FUTURE_LIST),
        }
    )
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


@cache
def json_values() -> st.SearchStrategy[Any]:
    """Any JSON at all."""
    return st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )


@cache
@st.composite
def broken_pods(draw: st.DrawFn) -> Object:
    """A sound pod in which a few places hold something else entirely."""
    pod: Object = draw(sound_pods())
    for _ in range(draw(st.integers(1, 3))):
        pod = _broken(draw, pod)
    return pod


def _broken(draw: st.DrawFn, value: Any) -> Any:
    """A copy of which one place, more often a deep one, is drawn anew."""
    if not isinstance(value, dict | list) or not value:
        return draw(json_values())
    places: list[Any] = sorted(value) if isinstance(value, dict) else list(range(len(value)))
    place = places[draw(st.integers(0, len(places) - 1))]
    copy = value.copy()
    copy[place] = _broken(draw, value[place]) if draw(_TWICE_IN_THREE) else draw(json_values())
    return copy


def istio(pod: Object) -> Object:
    """What Istio's injector makes of a pod: an init container and a native sidecar in front, volumes, an annotation."""
    spec = pod["spec"]
    before = [entry for entry in spec.get("initContainers") or [] if not entry["name"].startswith("istio-")]
    front = [
        {"name": "istio-init", "image": "istio/proxyv2:1.29", "args": ["istio-iptables"]},
        {
            "name": "istio-proxy",
            "image": "istio/proxyv2:1.29",
            "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        },
    ]
    volumes = [entry for entry in spec.get("volumes") or [] if entry["name"] != "istio-envoy"]
    metadata = pod["metadata"]
    annotations = {**(metadata.get("annotations") or {}), "sidecar.istio.io/status": "{}"}
    return {
        **pod,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {
            **spec,
            "initContainers": [*front, *before],
            "volumes": [*volumes, {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}],
        },
    }


def pod_identity(pod: Object) -> Object:
    """What EKS's pod identity webhook makes of a pod: a token volume in front, variables and a mount everywhere."""
    file = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
    entries = [
        {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"},
        {"name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value": file},
        {"name": "AWS_DEFAULT_REGION", "value": "eu-west-1"},
    ]
    volume = {
        "name": "eks-pod-identity-token",
        "projected": {"sources": [{"serviceAccountToken": {"audience": "pods.eks.amazonaws.com", "path": "t"}}]},
    }
    mount = {"name": "eks-pod-identity-token", "mountPath": file.rsplit("/", 1)[0], "readOnly": True}

    def injected(container: Object) -> Object:
        known = {entry["name"] for entry in container.get("env") or []}
        mounts = container.get("volumeMounts") or []
        return {
            **container,
            "env": [*(container.get("env") or []), *(entry for entry in entries if entry["name"] not in known)],
            "volumeMounts": mounts if any(m["name"] == mount["name"] for m in mounts) else [*mounts, mount],
        }

    spec = pod["spec"]
    lists = {
        field: [injected(entry) for entry in spec[field]]
        for field in ("containers", "initContainers")
        if spec.get(field)
    }
    volumes = [entry for entry in spec.get("volumes") or [] if entry["name"] != volume["name"]]
    return {**pod, "spec": {**spec, **lists, "volumes": [volume, *volumes]}}


def gcsfuse(pod: Object) -> Object:
    """What the GCSFuse webhook makes of a pod: a native sidecar at index 0 and its volumes."""
    spec = pod["spec"]
    before = [entry for entry in spec.get("initContainers") or [] if entry["name"] != "gke-gcsfuse-sidecar"]
    sidecar = {"name": "gke-gcsfuse-sidecar", "image": "gcs/sidecar:v1", "restartPolicy": "Always"}
    volumes = [entry for entry in spec.get("volumes") or [] if entry["name"] != "gke-gcsfuse-tmp"]
    tmp = {"name": "gke-gcsfuse-tmp", "emptyDir": {}}
    return {**pod, "spec": {**spec, "initContainers": [sidecar, *before], "volumes": [*volumes, tmp]}}


def api_server(pod: Object) -> Object:
    """What the API server does between two webhooks: defaults, and the service account's token in every container."""

    def completed(container: Object) -> Object:
        mounts = container.get("volumeMounts") or []
        token = {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        return {
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
            **container,
            "volumeMounts": mounts if any(m["name"] == token["name"] for m in mounts) else [*mounts, token],
        }

    spec = pod["spec"]
    lists = {
        field: [completed(entry) for entry in spec[field]]
        for field in ("containers", "initContainers")
        if spec.get(field)
    }
    volumes = []
    for volume in spec.get("volumes") or []:
        if "downwardAPI" in volume:
            projected = volume["downwardAPI"]
            items = [
                {**item, "fieldRef": {"apiVersion": "v1", **item["fieldRef"]}} for item in projected.get("items", [])
            ]
            volumes.append({**volume, "downwardAPI": {"defaultMode": 420, **projected, "items": items}})
        elif volume["name"] != "kube-api-access-x":
            volumes.append(volume)
    access = {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    return {**pod, "spec": {**spec, **lists, "volumes": [*volumes, access]}}


def injectors() -> st.SearchStrategy[Callable[[Object], Object]]:
    """Other webhooks, and the API server itself between them."""
    return st.sampled_from([istio, pod_identity, gcsfuse, api_server])
