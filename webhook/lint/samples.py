"""Pods as they come in real clusters, to hold expressions against: one of each kind, as the API server would send it.

The API server asks webhooks after its own defaults, and after its plug-ins for service accounts and priorities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from webhook.kube import Object
from webhook.lint.check import Manifest

_GPU: Final = "nvidia.com/gpu"


def _container(name: str, image: str, limits: Mapping[str, str] | None = None, **more: Any) -> Object:
    resources: Object = {} if limits is None else {"limits": dict(limits), "requests": dict(limits)}
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        **more,
    }


def _pod(metadata: Object, *containers: Object, **more: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"creationTimestamp": None, "namespace": "ml", **metadata},
        "spec": {
            "containers": list(containers),
            "dnsPolicy": "ClusterFirst",
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccount": "default",
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            **more,
        },
        "status": {},
    }


def _env(**values: str) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _owner(kind: str, name: str, version: str = "apps/v1") -> list[Object]:
    uid = "9d8c1a52-3c5e-4f6b-8d4f-6a2b1f0c7e11"
    return [
        {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True}
    ]


_VLLM = _pod(
    {
        "generateName": "llama-7b-6d5f8c9b7d-",
        "labels": {"app": "llama-7b", "pod-template-hash": "6d5f8c9b7d"},
        "annotations": {"warmpod.dev/model": "s3://acme-models/llama-7b/"},
        "ownerReferences": _owner("ReplicaSet", "llama-7b-6d5f8c9b7d"),
    },
    _container(
        "vllm",
        "docker.io/vllm/vllm-openai:v0.11.0",
        {_GPU: "1", "cpu": "8", "memory": "64Gi"},
        args=["--model", "s3://acme-models/llama-7b/", "--port=8000"],
        env=_env(VLLM_LOGGING_LEVEL="INFO", AWS_REGION="eu-west-1"),
        ports=[{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        volumeMounts=[{"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 - a path in a pod
    ),
    volumes=[{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    tolerations=[{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}],
    nodeSelector={"node.kubernetes.io/instance-type": "g6.12xlarge"},
)
_JOB = _pod(
    {
        "generateName": "finetune-1-",
        "labels": {"batch.kubernetes.io/job-name": "finetune-1", "job-name": "finetune-1"},
        "ownerReferences": _owner("Job", "finetune-1", "batch/v1"),
    },
    _container("train", "nvcr.io/nvidia/pytorch:25.09-py3", {_GPU: "8"}, command=["torchrun", "train.py"]),
    restartPolicy="Never",
)
_STATEFUL = _pod(
    {
        "name": "triton-0",
        "generateName": "triton-",
        "labels": {"app": "triton", "statefulset.kubernetes.io/pod-name": "triton-0"},
        "ownerReferences": _owner("StatefulSet", "triton"),
    },
    _container(
        "triton",
        "nvcr.io/nvidia/tritonserver:25.09-py3",
        {_GPU: "1"},
        args=["tritonserver", "--model-repository=s3://acme-models/repository/"],
    ),
    hostname="triton-0",
    volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data-triton-0"}}],
)
_RAY = _pod(
    {
        "name": "raycluster-gpu-worker-x7k2p",
        "labels": {"ray.io/cluster": "raycluster", "ray.io/node-type": "worker", "ray.io/group": "gpu"},
        "annotations": {"ray.io/ft-enabled": "false"},
        "ownerReferences": _owner("RayCluster", "raycluster", "ray.io/v1"),
    },
    _container("ray-worker", "docker.io/rayproject/ray:2.49.0-gpu", {_GPU: "4"}, env=_env(RAY_PORT="6379")),
    initContainers=[_container("wait-gcs-ready", "docker.io/rayproject/ray:2.49.0-gpu", command=["/bin/bash"])],
)
_LWS = _pod(
    {
        "name": "deepseek-0-1",
        "labels": {
            "leaderworkerset.sigs.k8s.io/name": "deepseek",
            "leaderworkerset.sigs.k8s.io/group-index": "0",
            "leaderworkerset.sigs.k8s.io/worker-index": "1",
        },
        "annotations": {"leaderworkerset.sigs.k8s.io/size": "2"},
    },
    _container("sglang", "docker.io/lmsysorg/sglang:v0.5.3", {_GPU: "8", "vpc.amazonaws.com/efa": "32"}),
    schedulingGates=[{"name": "kueue.x-k8s.io/admission"}],
)
_BARE = _pod({"name": "notebook"}, _container("main", "nvidia/cuda:13.0.0-base-ubuntu24.04", {"nvidia.com/gpu": "1"}))
_NO_LABELS = _pod(
    {"generateName": "scratch-", "annotations": {"team": "research"}},
    _container("main", "ubuntu:24.04", {_GPU: "1"}, command=["sleep", "infinity"]),
)
_NO_ANNOTATIONS = _pod(
    {"generateName": "embed-", "labels": {"app": "embed", "team": "search"}},
    _container("tei", "ghcr.io/huggingface/text-embeddings-inference:1.8", {_GPU: "1"}),
    automountServiceAccountToken=False,
)
_DRA = _pod(
    {"generateName": "dra-7f9-", "labels": {"app": "dra"}},
    _container("main", "docker.io/vllm/vllm-openai:v0.11.0", resources={"claims": [{"name": "gpu"}]}),
    resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
)
_NEURON = _pod(
    {"generateName": "neuron-5b-", "labels": {"app": "neuron"}, "annotations": {"sidecar.istio.io/inject": "false"}},
    _container("serve", "public.ecr.aws/neuron/pytorch-inference-neuronx:2.8.0", {"aws.amazon.com/neuron": "1"}),
    nodeSelector={"karpenter.sh/nodepool": "inf2"},
)
_SIDECARS = _pod(
    {
        "generateName": "chat-6c9-",
        "labels": {"app": "chat", "security.istio.io/tlsMode": "istio"},
        "annotations": {"sidecar.istio.io/status": "{}", "prometheus.io/scrape": "true"},
        "ownerReferences": _owner("ReplicaSet", "chat-6c9"),
    },
    _container("server", "registry.example.com/chat:1.4@sha256:" + "0" * 64, {"amd.com/gpu": "1"}),
    _container("istio-proxy", "docker.io/istio/proxyv2:1.27.0", securityContext={"runAsNonRoot": True}),
    initContainers=[_container("istio-init", "docker.io/istio/proxyv2:1.27.0", restartPolicy="Always")],
    priorityClassName="serving",
    priority=1000,
    securityContext={"fsGroup": 1000, "runAsUser": 1000},
)
_HOST = _pod(
    {"name": "nccl-test", "labels": {"app": "nccl-test"}, "namespace": "kube-system"},
    _container("main", "nccl-tests:latest", {_GPU: "8"}, securityContext={"privileged": True}),
    hostNetwork=True,
    hostIPC=True,
    nodeName="gpu-1",
    volumes=[{"name": "dev", "hostPath": {"path": "/dev", "type": ""}}],
)


def _large() -> Object:
    """As large as pods get that a platform has put its sidecars into, and its notes on: some 40 kB."""
    env = [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(32)]
    mounts = [{"name": f"volume-{number}", "mountPath": f"/mnt/{number}"} for number in range(16)]
    args = [f"--option-{number}=value" for number in range(16)]
    containers = [
        _container(f"container-{number}", f"registry.example.com/team/image-{number}:1.{number}", env=env, args=args)
        | {"volumeMounts": mounts}
        for number in range(8)
    ]
    containers[0]["resources"] = {"limits": {_GPU: "8"}, "requests": {_GPU: "8"}}
    labels = {f"example.com/label-{number}": f"value-{number}" for number in range(30)}
    notes = {f"example.com/note-{number}": "x" * 200 for number in range(60)}
    volumes = [{"name": f"volume-{number}", "configMap": {"name": f"config-{number}"}} for number in range(16)]
    metadata = {"generateName": "large-", "labels": labels, "annotations": notes}
    return _pod(metadata, *containers, volumes=volumes, initContainers=containers[1:3])


_ML: Final = {"kubernetes.io/metadata.name": "ml", "pod-security.kubernetes.io/enforce": "baseline"}
_SYSTEM: Final = {"kubernetes.io/metadata.name": "kube-system"}

SAMPLES: Final[tuple[Manifest, ...]] = (
    Manifest("the pod of a vLLM Deployment", _VLLM, "ml", _ML),
    Manifest("the pod of a Job", _JOB, "ml", _ML),
    Manifest("the pod of a Triton StatefulSet", _STATEFUL, "ml", _ML),
    Manifest("a Ray worker", _RAY, "ml", _ML),
    Manifest("a worker of a LeaderWorkerSet", _LWS, "ml", _ML),
    Manifest("a bare pod without labels and annotations", _BARE, "ml", _ML),
    Manifest("a pod without labels", _NO_LABELS, "ml", _ML),
    Manifest("a pod without annotations", _NO_ANNOTATIONS, "ml", _ML),
    Manifest("a pod that claims its GPU (DRA)", _DRA, "ml", _ML),
    Manifest("a pod for AWS Neuron", _NEURON, "ml", _ML),
    Manifest("a pod with sidecars", _SIDECARS, "ml", _ML),
    Manifest("a privileged pod in kube-system", _HOST, "kube-system", _SYSTEM),
)
"""One of each kind. They are not to be changed."""

LARGE: Final = Manifest("a pod of 10 containers with 32 variables each", _large(), "ml", _ML)
"""What an expression has to bear: large, and still a pod that people run."""
