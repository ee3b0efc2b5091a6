"""Volumes of FSx for Lustre: sizes that are rounded up, parameters that do not go together, a cache turned off.

Facts from aws-fsx-csi-driver v1.9.0 (pkg/util/util.go, RoundUpVolumeSize; pkg/driver/controller.go, parameters;
pkg/driver/node.go, attributes) and the Amazon FSx API Reference, CreateFileSystemLustreConfiguration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from webhook.kube import pod as pods
from webhook.kube import quantity
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes, in_user_data
from webhook.nodeclass.documents import NodeDocument
from webhook.nodeclass.fault import Fault
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown

CODES: Codes = {
    "N050": ("warning", "a size that FSx for Lustre rounds up"),
    "N051": ("error", "a volume of FSx for Lustre that its driver cannot mount or make"),
    "N052": ("warning", "a Lustre client that keeps next to nothing in memory"),
    "N053": ("warning", "a parameter of FSx for Lustre that nobody reads, or that does not go with the others"),
}
DRIVER = "fsx.csi.aws.com"
_GIB = 1 << 30
_PARAMETERS = frozenset(
    {
        "autoImportPolicy",
        "automaticBackupRetentionDays",
        "copyTagsToBackups",
        "dailyAutomaticBackupStartTime",
        "dataCompressionType",
        "deploymentType",
        "driveCacheType",
        "efaEnabled",
        "extraTags",
        "fileSystemTypeVersion",
        "kmsKeyId",
        "metadataConfigurationMode",
        "metadataIops",
        "perUnitStorageThroughput",
        "s3ExportPath",
        "s3ImportPath",
        "securityGroupIds",
        "storageType",
        "subnetId",
        "weeklyMaintenanceStartTime",
    }
)
_DEPLOYMENTS = ("SCRATCH_1", "SCRATCH_2", "PERSISTENT_1", "PERSISTENT_2")
_THROUGHPUTS = {
    ("PERSISTENT_1", "SSD"): ("50", "100", "200"),
    ("PERSISTENT_1", "HDD"): ("12", "40"),
    ("PERSISTENT_2", "SSD"): ("125", "250", "500", "1000"),
}
# What is said of a bucket when the file system is made, and not taken by PERSISTENT_2 (data repository associations).
_IMPORTS = ("s3ImportPath", "s3ExportPath", "autoImportPolicy")
_CACHED = re.compile(r"max_cached_mb\s*=?\s*(\d{1,9})")
#: MiB. A model's weights are gigabytes: less is as good as no cache.
_LEAST_CACHED = 1024


def _classes(nodes: Nodes) -> list[NodeDocument]:
    return [each for each in nodes.documents.of("StorageClass") if each.at("provisioner") == DRIVER]


def _parameters(storage_class: NodeDocument) -> dict[str, Any]:
    found = storage_class.at("parameters")
    return found if isinstance(found, dict) else {}


def rounded(size: int, deployment: str, storage: str, throughput: str) -> int:
    """Return the GiB that the driver asks FSx for in place of `size` GiB."""
    if storage == "HDD":
        unit = 6000 if throughput == "12" else 1800
    else:
        step = 3600 if deployment in {"", "SCRATCH_1"} else 2400
        unit = 1200 if size < step else step
    return -(-size // unit) * unit


def _sizes(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    classes = {each.name: _parameters(each) for each in _classes(nodes)}
    for claim in nodes.documents.of("PersistentVolumeClaim"):
        name = claim.at("spec", "storageClassName")
        parameters = classes.get(name) if isinstance(name, str) else None
        if parameters is None or claim.at("spec", "volumeName"):
            continue  # of a volume that is there, nothing is made
        try:
            asked = quantity.parse(claim.at("spec", "resources", "requests", "storage"))
        except quantity.InvalidQuantity:
            continue
        size = int(-(-asked // _GIB))
        deployment = str(parameters.get("deploymentType", ""))
        storage, throughput = str(parameters.get("storageType", "SSD")), str(parameters.get("perUnitStorageThroughput"))
        made = rounded(size, deployment, storage, throughput)
        if size > 0 and made != size:
            message = f"a file system of {made} GiB is made and paid for, where {size} are asked for"
            hint = f"storage: {made}Gi; {deployment or 'SCRATCH_1, the default,'} comes in steps"
            yield claim, Finding("N050", "spec.resources.requests.storage", message, hint)


def _made(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for each in _classes(nodes):
        parameters = _parameters(each)
        for name in ("subnetId", "securityGroupIds"):
            if not parameters.get(name):
                message = f"the driver makes no file system without {name}"
                yield each, Finding("N051", "parameters", message, f"{name}: ...")
        for name, value in parameters.items():
            path = f"parameters.{name}"
            if name not in _PARAMETERS and not name.startswith("csi.storage.k8s.io/"):
                message = f"the driver reads no parameter {shown(name)}"
                yield each, Finding("N053", path, message, suggestion(name, _PARAMETERS), on_key=True)
            elif not isinstance(value, str):
                message = "parameters of a storage class are texts, and the API server refuses this one"
                yield each, Finding("N051", path, message, "quote it")
        yield from ((each, found) for found in _combined(parameters))


def _combined(parameters: dict[str, Any]) -> Iterator[Finding]:
    deployment = parameters.get("deploymentType", "SCRATCH_1")
    storage, throughput = parameters.get("storageType", "SSD"), parameters.get("perUnitStorageThroughput")
    if deployment not in _DEPLOYMENTS:
        message = f'"{shown(str(deployment))}" is no deployment type'
        yield Finding("N051", "parameters.deploymentType", message, suggestion(str(deployment), _DEPLOYMENTS))
        return
    allowed = _THROUGHPUTS.get((str(deployment), str(storage)))
    if throughput is not None and allowed is None and str(deployment).startswith("SCRATCH"):
        message = f"{deployment} has one throughput, 200 MB/s per TiB, and takes no other"
        yield Finding("N053", "parameters.perUnitStorageThroughput", message, "remove it")
    elif throughput is not None and allowed is not None and str(throughput) not in allowed:
        message = f"{deployment} on {storage} gives {', '.join(allowed)} MB/s per TiB, not {shown(str(throughput))}"
        yield Finding("N051", "parameters.perUnitStorageThroughput", message, f'"{allowed[-1]}"')
    if deployment == "PERSISTENT_2":
        for name in _IMPORTS:
            if name in parameters:
                message = f"PERSISTENT_2 takes no {name}: FSx refuses to make the file system"
                hint = "a data repository association, made when the file system is there"
                yield Finding("N051", f"parameters.{name}", message, hint, on_key=True)


def _volumes(nodes: Nodes) -> list[NodeDocument]:
    return [each for each in nodes.documents.of("PersistentVolume") if each.at("spec", "csi", "driver") == DRIVER]


def _mounted(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in _volumes(nodes):
        attributes = volume.at("spec", "csi", "volumeAttributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        if not attributes.get("dnsname"):
            hint = "dnsname: fs-0123456789abcdef0.fsx.us-east-1.amazonaws.com"
            yield volume, Finding("N051", "spec.csi", "volumeAttributes name no dnsname of the file system", hint)
        if not attributes.get("mountname"):
            message = 'without mountname the driver takes "fsx", which is right for SCRATCH_1 alone'
            hint = "mountname: as `aws fsx describe-file-systems` says (LustreConfiguration.MountName)"
            yield volume, Finding("N053", "spec.csi", message, hint)


def _uncached(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    message = "of files on Lustre the node keeps {} MiB in memory: every pod reads the weights over the network again"
    hint = "leave llite.*.max_cached_mb at its default (a share of the memory) on nodes that load models"
    for node_class in nodes.classes:
        for each in node_class.user_data.scripts:
            found = each.script.lustre_cache
            if found is not None and found[0] < _LEAST_CACHED:
                fault = Fault("N052", message.format(found[0]), hint, each.outer(found[1]))
                yield in_user_data(node_class, fault)
    for document, found_pod in nodes.documents.pods():
        below = f"{found_pod.path}.spec" if found_pod.path else "spec"
        for kind in ("initContainers", "containers"):
            for index, container in enumerate(pods.objects(pods.spec(found_pod.pod).get(kind))):
                for field in ("command", "args"):
                    match = _CACHED.search(str(container.get(field)))
                    if match and int(match[1]) < _LEAST_CACHED:
                        path = f"{below}.{kind}[{index}].{field}"
                        yield document, Finding("N052", path, message.format(int(match[1])), hint)


CHECKS: tuple[NodeCheck, ...] = (_sizes, _made, _mounted, _uncached)
