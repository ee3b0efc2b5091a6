"""The corpus that every benchmark reviews: 20 AdmissionReviews, 16 of GPU pods and 4 that Warmpod must leave alone.

Made here, of nothing random, in the form an API server sends: v1, compact JSON, quantities as strings, defaults filled,
`managedFields`, the tolerations and the projected token volume that built-in admission adds, an empty status. Half come
from controllers (`generateName`, an owner). Sizes spread as those of real serving pods do: median about 4.9 kB.

Run it to see the table of what is in it.
"""

from __future__ import annotations

import json
import statistics
import uuid
from dataclasses import dataclass
from typing import Any

from tests.bench import report

Object = dict[str, Any]

GPU = "nvidia.com/gpu"
MODELS = "s3://acme-models"
_ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_VLLM = "vllm/vllm-openai:v0.11.0"
_TRITON = "nvcr.io/nvidia/tritonserver:25.09-py3"
_SGLANG = "lmsysorg/sglang:v0.5.3"
_TRAINER = f"{_ECR}/trainer:2.8"

# What identifies an entry of a list in `managedFields`, as the API server writes it.
MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "protocol"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes one pod of the corpus different from the next."""

    name: str
    image: str
    variables: int
    namespace: str = "serving"
    accelerator: str = GPU
    count: int = 1
    model: str = ""
    argument: bool = False
    sidecars: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    pinned: bool = False
    owner: str = ""
    probes: bool = False
    shared_memory: bool = False


SHAPES: tuple[Shape, ...] = (
    Shape("vllm-gemma", _VLLM, 10, model="gemma-3-27b/", owner="ReplicaSet"),
    Shape("vllm-llama", _VLLM, 12, model="llama-3.3-70b/", count=4, argument=True, probes=True, pinned=True),
    Shape("vllm-mesh", _VLLM, 10, model="mistral-small/", init=("istio-init",), sidecars=("proxy",)),
    Shape("vllm-native-sidecar", f"{_ECR}/vllm:0.11.0-cu128", 10, model="qwen3-32b/", init=("istio-proxy",)),
    Shape("triton-bert", _TRITON, 10, model="triton/bert/"),
    Shape("triton-ensemble", _TRITON, 24, model="triton/rank/", probes=True, shared_memory=True),
    Shape("sglang-leader", _SGLANG, 10, count=8, model="deepseek-v3/", argument=True, owner="StatefulSet"),
    Shape("sglang-worker", _SGLANG, 10, count=8, model="deepseek-v3/", argument=True, owner="StatefulSet"),
    Shape("tgi-falcon", "ghcr.io/huggingface/text-generation-inference:3.3.6", 10, model="falcon-40b/"),
    Shape(
        "nim-llama", "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.13", 10, model="nim/llama-3.1-8b/", owner="ReplicaSet"
    ),
    Shape("trainer-ddp", _TRAINER, 32, "training", count=8, model="base/llama-3-8b/", owner="Job", shared_memory=True),
    Shape("trainer-efa", _TRAINER, 64, "training", count=8, model="base/llama-3-70b/", owner="Job", shared_memory=True),
    Shape("embedder", f"{_ECR}/embed@sha256:{'5e' * 32}", 10, model="bge-m3/"),
    Shape("whisper", "onerahmet/openai-whisper-asr-webservice:v1.9.1-gpu", 10, model="whisper-v3/", argument=True),
    Shape("router-fleet", f"{_ECR}/router:7.4", 14, model="router/", sidecars=("metrics", "config", "logs")),
    Shape("comfy-flux", f"{_ECR}/comfyui:0.3.60", 90, "studio", model="flux-1/", sidecars=("uploader",), probes=True),
    Shape("web-frontend", "nginx:1.29", 2, "web", "", owner="ReplicaSet"),
    Shape("orders-api", f"{_ECR}/orders:2026.11.4", 22, "web", "", sidecars=("proxy",), owner="ReplicaSet"),
    Shape("nightly-report", "python:3.13-slim", 4, "batch", "", owner="Job"),
    Shape("postgres", "postgres:18", 5, "data", "", owner="StatefulSet", init=("chown",)),
)

_NAMES = (
    "HF_HOME", "HF_HUB_OFFLINE", "VLLM_LOGGING_LEVEL", "NCCL_SOCKET_IFNAME", "OMP_NUM_THREADS", "CUDA_DEVICE_ORDER",
    "TOKENIZERS_PARALLELISM", "OTEL_SERVICE_NAME", "LOG_LEVEL", "PORT",
)  # fmt: skip
_VALUES = ("/scratch/hf", "1", "INFO", "eth0", "16", "PCI_BUS_ID", "false", "serving", "info", "8080")


def pods() -> list[tuple[str, Object]]:
    """The namespace and pod of every review, in the order of `SHAPES`."""
    return [(shape.namespace, admitted(shape)) for shape in SHAPES]


def corpus() -> list[bytes]:
    """The request bodies, in the order of `SHAPES`: the first 16 ask for accelerators, the last 4 do not."""
    return [_encode(review(pod, namespace)) for namespace, pod in pods()]


def asks_for_accelerator() -> list[bool]:
    """For each review of the corpus, whether its pod asks for an accelerator."""
    return [bool(shape.accelerator) for shape in SHAPES]


def review(pod: Object, namespace: str) -> Object:
    """The AdmissionReview that creating this pod sends; its uid is a hash of the pod."""
    controller = "ownerReferences" in pod["metadata"]
    user = "system:serviceaccount:kube-system:replicaset-controller" if controller else "acme:deployer"
    groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"] if controller else ["acme"]
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request: Object = {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(pod))),
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {"username": user, "uid": _digest("user", user), "groups": [*groups, "system:authenticated"]},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    if "name" in pod["metadata"]:
        request["name"] = pod["metadata"]["name"]
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _encode(document: Object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _digest(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(parts)))


def manifest(shape: Shape) -> Object:
    """The pod as its author or controller sends it, with the defaults filled that the API server fills first."""
    metadata: Object = {
        "namespace": shape.namespace,
        "labels": {"app": shape.name},
    }
    if shape.model:
        metadata["annotations"] = {"warmpod.dev/model": f"{MODELS}/{shape.model}"}
    if shape.owner:
        metadata["generateName"] = f"{shape.name}-6b7f9-"
        metadata["labels"]["pod-template-hash"] = "6b7f9"
        metadata["ownerReferences"] = [_owner(shape)]
    else:
        metadata["name"] = shape.name
    spec: Object = {
        "volumes": [{"name": name, **source} for name, (source, _) in _volumes(shape).items()],
        "containers": [_main(shape), *(_sidecar(name) for name in shape.sidecars)],
        "restartPolicy": "Never" if shape.owner == "Job" else "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }
    if shape.init:
        spec["initContainers"] = [_init(name) for name in shape.init]
    if shape.accelerator:
        spec["tolerations"] = [{"key": shape.accelerator, "operator": "Exists", "effect": "NoSchedule"}]
    if shape.pinned:
        spec["affinity"] = {"nodeAffinity": _affinity()}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}}


def admitted(shape: Shape) -> Object:
    """The pod as a webhook sees it: with managed fields, and after the admission plugins that come before."""
    sent = manifest(shape)
    metadata, spec = sent["metadata"], sent["spec"]
    managed = {
        "manager": "kube-controller-manager" if shape.owner else "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-11-20T09:30:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields({"metadata": metadata, "spec": spec}),
    }
    return {**sent, "metadata": {**metadata, "managedFields": [managed]}, "spec": _after_admission(spec)}


def _volumes(shape: Shape) -> dict[str, tuple[Object, str]]:
    """Name -> volume source and the path that the first container mounts it at."""
    volumes: dict[str, tuple[Object, str]] = {"scratch": ({"emptyDir": {}}, "/scratch")}
    if shape.shared_memory:
        volumes["dshm"] = ({"emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}, "/dev/shm")
    return volumes


def _main(shape: Shape) -> Object:
    quantity = {shape.accelerator: str(shape.count)} if shape.accelerator else {}
    container: Object = {
        "name": shape.name,
        "image": shape.image,
        "args": ["--port=8080"],
        "env": [_variable(index) for index in range(shape.variables)],
        "resources": {
            "limits": {"cpu": "8", "memory": "64Gi", **quantity},
            "requests": {"cpu": "4", "memory": "64Gi", **quantity},
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, (_, path) in _volumes(shape).items()],
        **_defaults(),
    }
    if shape.argument:
        container["args"] = [f"--model={MODELS}/{shape.model}", *container["args"]]
    if shape.probes:
        container["ports"] = [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
        probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 30}
        container["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}, **probe}
        container["startupProbe"] = {"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}, **probe}
    return container


def _variable(index: int) -> Object:
    if index == 9:
        return {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    name = _NAMES[index] if index < len(_NAMES) else f"APP_SETTING_{index}"
    return {"name": name, "value": _VALUES[index % len(_VALUES)]}


def _sidecar(name: str) -> Object:
    return {
        "name": name,
        "image": f"{_ECR}/{name}:1.4.2",
        "env": [{"name": "LOG_LEVEL", "value": "info"}],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        **_defaults(),
    }


def _init(name: str) -> Object:
    native = {"restartPolicy": "Always"} if name == "istio-proxy" else {}
    return {
        "name": name,
        "image": f"{_ECR}/{name}:1.27.1",
        "args": ["--run"],
        **native,
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        **_defaults(),
    }


def _defaults() -> Object:
    return {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def _owner(shape: Shape) -> Object:
    return {
        "apiVersion": "batch/v1" if shape.owner == "Job" else "apps/v1",
        "kind": shape.owner,
        "name": f"{shape.name}-6b7f9",
        "uid": _digest(shape.owner, shape.name),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _affinity() -> Object:
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a", "us-east-1b"]}
    family = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge", "g6e.12xlarge"]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [zones, family]}],
        },
    }


def _after_admission(spec: Object) -> Object:
    """What the ServiceAccount, Priority and DefaultTolerationSeconds plugins add before webhooks are called."""
    token = "kube-api-access-x7k2p"
    mount = {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}],
            },
        },
    ]
    after: Object = dict(spec)
    after["volumes"] = [*spec["volumes"], {"name": token, "projected": {"sources": sources, "defaultMode": 420}}]
    for each in ("initContainers", "containers"):
        if each in spec:
            after[each] = [{**one, "volumeMounts": [*one.get("volumeMounts", []), mount]} for one in spec[each]]
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]
    after["tolerations"] = [*spec.get("tolerations", []), *tolerations]
    after.update(serviceAccountName="default", serviceAccount="default", priority=0)
    after["preemptionPolicy"] = "PreemptLowerPriority"
    return after


def _fields(value: Object) -> Object:
    """The set of fields of an object, in the form of `fieldsV1`."""
    fields: Object = {}
    for key, child in value.items():
        if isinstance(child, dict):
            fields[f"f:{key}"] = {".": {}, **_fields(child)} if key not in ("metadata", "spec") else _fields(child)
        elif isinstance(child, list) and key in MERGE_KEYS:
            fields[f"f:{key}"] = {_identity(entry, MERGE_KEYS[key]): {".": {}, **_fields(entry)} for entry in child}
        elif key != "namespace":
            fields[f"f:{key}"] = {}
    return fields


def _identity(entry: Object, keys: tuple[str, ...]) -> str:
    return "k:" + json.dumps({key: entry[key] for key in keys}, separators=(",", ":"))


def main() -> None:
    """Print what the corpus holds."""
    output = report.arguments(__doc__).parse_args().output
    bodies = corpus()
    rows = [
        {
            "review": shape.name,
            "bytes": len(body),
            "containers": 1 + len(shape.sidecars),
            "initContainers": len(shape.init),
            "env": shape.variables + len(shape.sidecars),
            "accelerator": shape.accelerator or "-",
            "from": shape.owner or "kubectl",
        }
        for shape, body in zip(SHAPES, bodies, strict=True)
    ]
    median = statistics.median(len(body) for body in bodies)
    report.show(report.Report("corpus", [report.Table("AdmissionReviews", rows)], [], {"medianBytes": median}), output)


if __name__ == "__main__":
    main()
