"""Every label, annotation, container, volume and path that belongs to Warmpod. Nowhere else are they spelt."""

from __future__ import annotations

import hashlib

DOMAIN = "warmpod.dev"
API_VERSION = f"{DOMAIN}/v1alpha1"

# Annotations a pod's author may set.
ANNOTATION_MODEL = f"{DOMAIN}/model"
ANNOTATION_SKIP = f"{DOMAIN}/skip"

# A dry run of a pod that bears it is answered with a warning that says which replica looked at it (`warmpod doctor`).
ANNOTATION_PROBE = f"{DOMAIN}/probe"

# Annotations Warmpod sets on a pod.
ANNOTATION_DECISION = f"{DOMAIN}/decision"
ANNOTATION_AWS_CONFIG = f"{DOMAIN}/aws-config"

# Label a namespace's owner may set: lowers a policy's mode in that namespace, never raises it.
LABEL_NAMESPACE_MODE = f"{DOMAIN}/mode"

# Labels on nodes. The node-restriction prefix keeps kubelets from giving them to themselves.
NODE_LABEL_PREFIX = "warmpod.node-restriction.kubernetes.io/"
NODE_LABEL_WARM = "warm"
# digest16 of the boot that model labels were written in: models of another boot are not believed.
NODE_LABEL_BOOT = f"{NODE_LABEL_PREFIX}boot"
FIELD_MANAGER = "warmpod-controller"

INIT_CONTAINER = "warmpod-hydrate"
VOLUME_PREFIX = "warmpod-"
VOLUME_CACHE_PREFIX = "warmpod-cache-"
VOLUME_MODEL_PREFIX = "warmpod-model-"
VOLUME_AWS_CONFIG = "warmpod-aws-config"

# The installation itself, as manifests/base has it.
SYSTEM_NAMESPACE = "warmpod-system"
WEBHOOK_CONFIGURATION = "warmpod"
WEBHOOK_SERVICE = "warmpod-webhook"
TLS_SECRET = "warmpod-webhook-tls"  # noqa: S105  its name, not what it holds
DEPLOYMENT = "warmpod"
POLICIES_CONFIG_MAP = "warmpod-policies"
CONTROLLER_LEASE = "warmpod-controller"
REPLICA_LEASE_PREFIX = "warmpod-replica-"
# ConfigMap: the last registration that was in order, for `--manage-webhook`.
WEBHOOK_BACKUP = "warmpod-webhook-backup"
# PolicyReports and Reports, one in each namespace that has something to report.
POLICY_REPORT = "warmpod"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "warmpod"
# On a replica's Lease: what it says of itself, as JSON.
ANNOTATION_STATUS = f"{DOMAIN}/status"
# On the Secret: somebody asks for a new "leaf" or a new "authority".
ANNOTATION_ROTATE = f"{DOMAIN}/rotate"
# On the Secret, by the leader: since when API servers trust which of its authorities, and since when `ca.crt` signs.
ANNOTATION_TRUSTED = f"{DOMAIN}/trusted"
ANNOTATION_SWITCHED = f"{DOMAIN}/switched"

# Inside containers.
AWS_CONFIG_DIRECTORY = "/etc/warmpod/aws"
AWS_CONFIG_FILE = f"{AWS_CONFIG_DIRECTORY}/config"
CACHE_ROOT = "/warmpod/cache"

# Kubernetes' own names we read.
ANNOTATION_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATION_MIRROR_POD = "kubernetes.io/config.mirror"
LABEL_NAMESPACE_NAME = "kubernetes.io/metadata.name"
LABEL_POD_SECURITY_ENFORCE = "pod-security.kubernetes.io/enforce"


def digest16(name: str) -> str:
    """First 16 hex digits of the SHA-256 of `name`: how labels and directories name an artifact."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def directory(source: str, files: str = "") -> str:
    """The directory of a canonical source in any cache. `files` says which files of it are wanted, empty: all.

    Two choices of files are two models, which must not take one another's place (ADR 12).
    """
    return digest16(f"{source}\n{files}" if files else source)


def selection(source: str, directory: str) -> str:
    """What an inventory calls some of a source's files, those of this directory. No source holds a `#`."""
    return f"{source}#{directory}"


def image_label(canonical: str) -> str:
    """The node label key that says a node holds the image of this canonical name."""
    return f"{NODE_LABEL_PREFIX}image-{digest16(canonical)}"


def model_label(source: str, tenant: str) -> str:
    """The node label key that says a node holds the model of this canonical source for this tenant (empty: everyone).

    It names no version, so that who knows only a pod can name it too; a slash at the end of the source does not count.
    """
    name = tenant + "\n" + source.rstrip("/")
    return f"{NODE_LABEL_PREFIX}model-{digest16(name)}"


def cache_volume(node_cache: str) -> str:
    """The pod volume that holds a NodeCache, within the 63 characters of a DNS label."""
    return _volume(VOLUME_CACHE_PREFIX, node_cache)


def model_volume(model: str) -> str:
    """The pod volume that is a model's image, within the 63 characters of a DNS label."""
    return _volume(VOLUME_MODEL_PREFIX, model)


def _volume(prefix: str, what: str) -> str:
    name = f"{prefix}{what}"
    return name if len(name) <= 63 and "." not in name else f"{prefix}{digest16(what)}"
