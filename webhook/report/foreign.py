"""What other webhooks and the API server itself make of a pod, as far as it can get in our way.

Each is a function from pod to pod that changes nothing the second time. Shapes are those that the projects' own pages
show: Istio ("Sidecar injection", native sidecars), HashiCorp Vault ("Agent injector"), Amazon EKS ("Pod Identity",
environment and token volume), OpenTelemetry ("Auto-instrumentation"), the ServiceAccount and defaulting code of
kube-apiserver, and what policy engines add for NVIDIA nodes (toleration, runtimeClassName).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from webhook.kube import Object
from webhook.kube import pod as pods

Injector = Callable[[Object], Object]


def _before(entries: Any, *more: Object) -> list[Object]:
    """These in front, but for those whose name is taken: what a pod has of its own stays."""
    there = pods.objects(entries)
    names = {entry.get("name") for entry in there}
    return [*(entry for entry in more if entry["name"] not in names), *there]


def _behind(entries: Any, entry: Object) -> list[Object]:
    there = pods.objects(entries)
    return there if entry["name"] in {each.get("name") for each in there} else [*there, entry]


def _with_spec(pod: Object, **fields: Any) -> Object:
    return {**pod, "spec": {**pods.spec(pod), **fields}}


def _annotated(pod: Object, key: str, value: str) -> Object:
    metadata = pods.metadata(pod)
    return {
        **pod,
        "metadata": {**metadata, "annotations": {**pods.mapping(metadata.get("annotations")), key: value}},
    }


def _in_every_container(pod: Object, edit: Callable[[Object], Object]) -> Object:
    spec = pods.spec(pod)
    lists = {
        field: [edit(each) for each in pods.objects(spec.get(field))]
        for field in ("initContainers", "containers")
        if spec.get(field)
    }
    return _with_spec(pod, **lists)


def _set(container: Object, env: Sequence[Object] = (), mounts: Sequence[Object] = ()) -> Object:
    """The container with those variables and mounts that it does not have; absent lists stay absent."""
    known = {entry.get("name") for entry in pods.objects(container.get("env"))}
    taken = {entry.get("mountPath") for entry in pods.objects(container.get("volumeMounts"))}
    fields: Object = {}
    if more := [entry for entry in env if entry["name"] not in known]:
        fields["env"] = [*pods.objects(container.get("env")), *more]
    if room := [entry for entry in mounts if entry["mountPath"] not in taken]:
        fields["volumeMounts"] = [*pods.objects(container.get("volumeMounts")), *room]
    return {**container, **fields}


def _istio(pod: Object) -> Object:
    """An init container and a native sidecar in front of all others, a volume, an annotation."""
    spec = pods.spec(pod)
    small = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    front = [
        {"name": "istio-init", "image": "istio/proxyv2:1.27.0", "args": ["istio-iptables"], "resources": small},
        {"name": "istio-proxy", "image": "istio/proxyv2:1.27.0", "restartPolicy": "Always", "resources": small},
    ]
    volumes = _behind(spec.get("volumes"), {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}})
    changed = _with_spec(pod, initContainers=_before(spec.get("initContainers"), *front), volumes=volumes)
    return _annotated(changed, "sidecar.istio.io/status", "{}")


def _first_container(pod: Object) -> Object:
    """A classic sidecar as the first app container: every index moves by one."""
    spec = pods.spec(pod)
    sidecar = {"name": "mesh-proxy", "image": "mesh/proxy:1", "env": [{"name": "MESH_MODE", "value": "sidecar"}]}
    return _with_spec(pod, containers=_before(spec.get("containers"), sidecar))


def _vault(pod: Object) -> Object:
    """An init container in front, a volume of secrets in memory, mounted everywhere."""
    spec = pods.spec(pod)
    mount = {"name": "vault-secrets", "mountPath": "/vault/secrets"}
    agent = {"name": "vault-agent-init", "image": "hashicorp/vault:1.20", "volumeMounts": [mount]}
    volumes = _behind(spec.get("volumes"), {"name": "vault-secrets", "emptyDir": {"medium": "Memory"}})
    inits = _before(spec.get("initContainers"), agent)
    return _in_every_container(
        _with_spec(pod, volumes=volumes, initContainers=inits), lambda each: _set(each, mounts=[mount])
    )


def _pod_identity(pod: Object) -> Object:
    """A token volume in front of the others, and variables and a mount in every container, ours too."""
    directory = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
    volume = {
        "name": "eks-pod-identity-token",
        "projected": {"sources": [{"serviceAccountToken": {"audience": "pods.eks.amazonaws.com", "path": "token"}}]},
    }
    env = [
        {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"},
        {"name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value": f"{directory}/token"},
    ]
    mount = {"name": volume["name"], "mountPath": directory, "readOnly": True}
    volumes = _before(pods.spec(pod).get("volumes"), volume)
    return _in_every_container(_with_spec(pod, volumes=volumes), lambda each: _set(each, env, [mount]))


def _gpu_defaults(pod: Object) -> Object:
    """A toleration, and the runtime class of nodes whose containerd has another default."""
    spec = pods.spec(pod)
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    others = [each for each in pods.objects(spec.get("tolerations")) if each != toleration]
    return _with_spec(pod, tolerations=[*others, toleration], runtimeClassName=spec.get("runtimeClassName") or "nvidia")


def _service_account(pod: Object) -> Object:
    """The token's volume and mounts, and some of the fields that the API server fills in."""
    volume = {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    mount = {"name": volume["name"], "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    volumes = _behind(pods.spec(pod).get("volumes"), volume)
    defaults = {"terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"}
    return _in_every_container(
        _with_spec(pod, volumes=volumes), lambda each: {**defaults, **_set(each, mounts=[mount])}
    )


def _tracing(pod: Object) -> Object:
    """Variables at the end of every container's."""
    env = [{"name": "OTEL_SERVICE_NAME", "value": "app"}, {"name": "OTEL_TRACES_EXPORTER", "value": "otlp"}]
    return _in_every_container(pod, lambda each: _set(each, env))


def _spread(pod: Object) -> Object:
    """A preferred term of somebody else's, in front of those that are there."""
    spec = pods.spec(pod)
    affinity, preferred = pods.mapping(spec.get("affinity")), "preferredDuringSchedulingIgnoredDuringExecution"
    node = pods.mapping(affinity.get("nodeAffinity"))
    term = {
        "weight": 1,
        "preference": {"matchExpressions": [{"key": "example.com/pool", "operator": "In", "values": ["ai"]}]},
    }
    terms = [term, *(each for each in pods.objects(node.get(preferred)) if each != term)]
    return _with_spec(pod, affinity={**affinity, "nodeAffinity": {**node, preferred: terms}})


INJECTORS: Final[Mapping[str, Injector]] = {
    "istio": _istio,
    "first-container": _first_container,
    "vault": _vault,
    "pod-identity": _pod_identity,
    "gpu-defaults": _gpu_defaults,
    "service-account": _service_account,
    "tracing": _tracing,
    "node-affinity": _spread,
}
"""Every injector by name."""
