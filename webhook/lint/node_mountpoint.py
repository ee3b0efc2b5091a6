"""Volumes of Mountpoint for Amazon S3: what its driver refuses, ignores, or lets fill the node's disk.

Facts from mountpoint-s3-csi-driver v2.7.0: deploy/kubernetes/base/csidriver.yaml (no volumeLifecycleModes, so that
Kubernetes takes none but Persistent), pkg/driver/node/volumecontext/volume_context.go (volumeAttributes),
docs/CACHING.md, docs/UPGRADING_TO_V2.md, examples/kubernetes/static_provisioning; and mountpoint-s3
doc/CONFIGURATION.md (cache-xz, prefix).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.ec2.zones import bucket_zone
from webhook.kube import pod as pods
from webhook.lint.check import Codes, Finding
from webhook.lint.node_check import NodeCheck, Nodes
from webhook.nodeclass.documents import NodeDocument
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown

CODES: Codes = {
    "N040": ("error", "an inline volume of Mountpoint's driver"),
    "N041": ("error", "a claim that does not bind to its volume of Mountpoint"),
    "N042": ("warning", "an option of Mountpoint that its driver does not take"),
    "N043": ("warning", "a cache of Mountpoint without a limit"),
    "N044": ("error", "a shared cache of Mountpoint that is no directory bucket"),
    "N045": ("error", "a storage class for a driver that makes no volumes"),
    "N046": ("error", "a volume of Mountpoint that its driver refuses"),
}
DRIVER = "s3.csi.aws.com"
_ATTRIBUTES = frozenset(
    {
        "authenticationSource",
        "bucketName",
        "cache",
        "cacheEmptyDirMedium",
        "cacheEmptyDirSizeLimit",
        "cacheEphemeralStorageClassName",
        "cacheEphemeralStorageResourceRequest",
        "mountpointContainerResourcesLimitsCpu",
        "mountpointContainerResourcesLimitsMemory",
        "mountpointContainerResourcesRequestsCpu",
        "mountpointContainerResourcesRequestsMemory",
        "mountpointPodServiceAccountName",
        "stsRegion",
    }
)
_ENV = "mountpointEnv."  # variables for Mountpoint
_OF_EPHEMERAL = ("cacheEphemeralStorageClassName", "cacheEphemeralStorageResourceRequest")
_MODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def _volumes(nodes: Nodes) -> list[NodeDocument]:
    return [each for each in nodes.documents.of("PersistentVolume") if each.at("spec", "csi", "driver") == DRIVER]


def _options(volume: NodeDocument) -> Iterator[tuple[str, str, str]]:
    """Field, name and value of each mount option; the driver takes `name value`, `name=value` and `--name`."""
    found = volume.at("spec", "mountOptions")
    for index, each in enumerate(found if isinstance(found, list) else ()):
        name, _, value = re.sub(r"^--", "", str(each).strip()).replace("=", " ", 1).partition(" ")
        yield f"spec.mountOptions[{index}]", name, value.strip()


def _inline(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for document, found in nodes.documents.pods():
        below = f"{found.path}.spec" if found.path else "spec"
        for index, volume in enumerate(pods.objects(pods.spec(found.pod).get("volumes"))):
            if pods.mapping(volume.get("csi")).get("driver") == DRIVER:
                message = "the driver takes no inline volumes, so that the pod never starts"
                hint = "a PersistentVolume and a claim: manifests/eks/mountpoint-s3 has both"
                yield document, Finding("N040", f"{below}.volumes[{index}].csi.driver", message, hint)


def _claims(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in _volumes(nodes):
        own = volume.at("spec", "storageClassName") or ""
        reference = volume.at("spec", "claimRef")
        reference = reference if isinstance(reference, dict) else {}
        for claim in nodes.documents.of("PersistentVolumeClaim"):
            named = claim.at("spec", "volumeName") == volume.name
            meant = (reference.get("name"), reference.get("namespace")) == (claim.name, claim.namespace or "default")
            if not named and not meant:
                continue
            wanted = claim.at("spec", "storageClassName")
            if wanted is None:
                message = "the cluster's default storage class is filled in here, and the claim waits for a new volume"
                yield claim, Finding("N041", "spec", message, f'storageClassName: "{own}"')
            elif wanted != own:
                message = f'the claim asks for class "{shown(str(wanted))}", volume {volume.name} is of class "{own}"'
                yield claim, Finding("N041", "spec.storageClassName", message, f'storageClassName: "{own}"')


def _mount_options(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in _volumes(nodes):
        for path, name, value in _options(volume):
            if name == "cache":
                message = (
                    "since version 2 the driver does not cache in a directory of the node: it makes an emptyDir of it"
                )
                hint = "volumeAttributes: {cache: emptyDir, cacheEmptyDirSizeLimit: 100Gi}"
                yield volume, Finding("N042", path, message, hint)
            elif name == "prefix" and value and not value.endswith("/"):
                message = f"Mountpoint takes a prefix that ends with /, and {shown(value)} does not"
                yield volume, Finding("N046", path, message, f"prefix {shown(value)}/")
            elif name == "cache-xz" and not bucket_zone(f"s3://{value}/"):
                message = (
                    f"{shown(value) or 'nothing'} is no directory bucket: the shared cache lies in S3 Express One Zone"
                )
                hint = "a bucket whose name ends with --ZONE--x-s3, in the zone of the pods"
                yield volume, Finding("N044", path, message, hint)


def _caches(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for volume in _volumes(nodes):
        attributes = _attributes(volume)
        cache, path = attributes.get("cache"), "spec.csi.volumeAttributes.cache"
        limit = attributes.get("cacheEmptyDirSizeLimit")
        if cache == "emptyDir" and limit is None:
            message = "without a limit the cache fills the node's disk, and kubelet evicts pods"
            yield volume, Finding("N043", path, message, "cacheEmptyDirSizeLimit: 100Gi")
        elif cache is None and "cacheEmptyDirSizeLimit" in attributes:
            field = "spec.csi.volumeAttributes.cacheEmptyDirSizeLimit"
            yield volume, Finding("N042", field, "there is no cache that this limits", "cache: emptyDir")
        if cache == "ephemeral":
            missing = [name for name in _OF_EPHEMERAL if name not in attributes]
            if missing:
                message = f"a cache of kind ephemeral needs {' and '.join(missing)}"
                yield volume, Finding("N046", path, message, f"{missing[0]}: ...")
        elif cache not in (None, "emptyDir"):
            hint = suggestion(str(cache), ("emptyDir", "ephemeral"))
            yield volume, Finding("N046", path, f'"{shown(str(cache))}" is no kind of cache', hint)


def _attributes(volume: NodeDocument) -> Mapping[str, Any]:
    found = volume.at("spec", "csi", "volumeAttributes")
    return found if isinstance(found, dict) else {}


def _refused(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    handles: dict[str, str] = {}
    for volume in _volumes(nodes):
        attributes = _attributes(volume)
        if not attributes.get("bucketName"):
            message = "volumeAttributes name no bucket"
            yield volume, Finding("N046", "spec.csi.volumeAttributes", message, "bucketName: my-models")
        for name in attributes:
            if name not in _ATTRIBUTES and not name.startswith(_ENV):
                field = f"spec.csi.volumeAttributes.{name}"
                message = f"the driver reads no attribute {shown(name)}"
                yield volume, Finding("N042", field, message, suggestion(name, _ATTRIBUTES), on_key=True)
        modes = volume.at("spec", "accessModes")
        for index, mode in enumerate(modes if isinstance(modes, list) else ()):
            if str(mode) not in _MODES:
                message = f"the driver serves ReadWriteMany and ReadOnlyMany, not {shown(str(mode))}"
                yield volume, Finding("N046", f"spec.accessModes[{index}]", message, "ReadOnlyMany, for models")
        handle = volume.at("spec", "csi", "volumeHandle")
        if isinstance(handle, str) and handles.get(handle, volume.name) != volume.name:
            message = (
                f"PersistentVolume {handles[handle]} has this handle too, and the driver tells volumes apart by it"
            )
            yield volume, Finding("N046", "spec.csi.volumeHandle", message, "any other text that nothing else has")
        elif isinstance(handle, str):
            handles[handle] = volume.name


def _classes(nodes: Nodes) -> Iterator[tuple[NodeDocument, Finding]]:
    for each in nodes.documents.of("StorageClass"):
        if each.at("provisioner") == DRIVER:
            message = "the driver makes no buckets and no volumes: claims of this class stay pending"
            hint = 'write the PersistentVolume yourself, with storageClassName: ""'
            yield each, Finding("N045", "provisioner", message, hint)


CHECKS: tuple[NodeCheck, ...] = (_inline, _claims, _mount_options, _caches, _refused, _classes)
