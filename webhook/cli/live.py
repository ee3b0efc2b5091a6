"""The facts of a decision as a live cluster has them: its installation's policies and settings, its nodes, its labels.

What a person says by options goes before what the installation says, and that before what Warmpod does by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from webhook.admission.decision import Facts, Settings
from webhook.cli.errors import CouldNotRun, say
from webhook.cli.options import DEFAULT_HYDRATOR_IMAGE, accelerators_of
from webhook.inventory.model import EMPTY, Inventory
from webhook.inventory.report import seconds
from webhook.kube import Object, names
from webhook.kube.pod import mapping, objects
from webhook.kube.podsecurity import Level
from webhook.policy.model import PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Source

if TYPE_CHECKING:
    from webhook.kube.accelerator import Accelerators
    from webhook.sources.kube_api import KubeApi

Found = TypeVar("Found")

PATIENCE_SECONDS = 2.0
_CONTAINER = "webhook"
_IMAGE_VOLUMES: dict[str, Literal["auto", "on", "off"]] = {"on": "on", "off": "off"}


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation decides by. `policies` None: they cannot be read here, and `why` says so.

    `told` are the settings of the webhook's container by their environment twins, `place` is where policies are and
    `changed` when they were last written, in unix seconds.
    """

    told: Mapping[str, str] = field(default_factory=dict)
    policies: PolicySet | None = None
    place: str = ""
    why: str = ""
    changed: float | None = None

    @property
    def accelerators(self) -> Accelerators:
        """What counts as an accelerator there."""
        given = (self.told.get(f"WARMPOD_{name}", "").split() for name in ("ACCELERATORS", "DEVICE_CLASSES"))
        return accelerators_of(*given)


def asked(kubeconfig: Path | None, context: str | None, work: Callable[[KubeApi], Awaitable[Found]]) -> Found:
    """What `work` finds out in the cluster. Raises CouldNotRun in the words of whoever could not do it."""
    from webhook.sources.kube_api import ApiFailure, KubeApi, NoCluster
    from webhook.sources.kube_api.discovery import UnknownObject

    async def connected() -> Found:
        async with KubeApi.connect(kubeconfig, context) as api:
            return await work(api)

    try:
        with _patience("asking the API server"):
            return asyncio.run(connected())
    except NoCluster as error:
        raise CouldNotRun(str(error)) from error
    except UnknownObject as error:
        raise CouldNotRun(str(error), hint=error.hint) from error
    except ApiFailure as failure:
        hint = "does `kubectl version` work with the same --kubeconfig?" if failure.kind != "forbidden" else ""
        raise CouldNotRun(str(failure), hint=hint) from failure


@contextmanager
def _patience(what: str) -> Iterator[None]:
    """Say what is being done where it takes longer than people wait without a word."""
    timer = threading.Timer(PATIENCE_SECONDS, say, ("note", f"{what} ..."))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def installed(api: KubeApi, namespace: str = names.SYSTEM_NAMESPACE) -> Installed:
    """What is installed in this namespace, as far as the caller may look. Raises ApiFailure when nobody answers."""
    from webhook.doctor.deployment import settings
    from webhook.doctor.evidence import Seen
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.objects import CONFIG_MAPS, DEPLOYMENTS, ObjectApi

    api_objects = ObjectApi(api.transport)
    deployment: Object = {}
    try:
        deployment = await api_objects.find(DEPLOYMENTS, namespace, names.DEPLOYMENT) or {}
    except ApiFailure as failure:
        if failure.kind != "forbidden":
            raise
    told = settings(Seen(deployment), _CONTAINER)
    name = _config_map(deployment)
    place = f"ConfigMap {namespace}/{name}"
    if not name:
        why = f"the policies of Deployment {namespace}/{names.DEPLOYMENT} do not come from a ConfigMap"
        return Installed(told, why=why)
    try:
        found = await api_objects.find(CONFIG_MAPS, namespace, name)
    except ApiFailure as failure:
        if failure.kind != "forbidden":
            raise
        return Installed(told, place=place, why=f"you may not get configmaps in namespace {namespace}")
    if found is None:
        return Installed(told, place=place, why=f"there is no {place}")
    data = mapping(found.get("data"))
    sources = [
        Source(f"{place}:{key}", text)
        for key, text in sorted(data.items())
        if isinstance(text, str) and key.endswith((".yaml", ".yml"))
    ]
    written = [one.get("time") for one in objects(mapping(found.get("metadata")).get("managedFields"))]
    changed = max((at for one in written if isinstance(one, str) and (at := seconds(one)) is not None), default=None)
    return Installed(told, parse(sources), place, changed=changed)


def _config_map(deployment: Object) -> str:
    """The ConfigMap that the webhook reads its policies from; empty when they come from elsewhere."""
    spec = mapping(mapping(mapping(deployment.get("spec")).get("template")).get("spec"))
    if not spec:
        return names.POLICIES_CONFIG_MAP
    container = next((one for one in objects(spec.get("containers")) if one.get("name") == _CONTAINER), {})
    told = {str(one.get("name")): str(one.get("value") or "") for one in objects(container.get("env"))}
    directory = told.get("WARMPOD_POLICIES", "")
    for mount in objects(container.get("volumeMounts")):
        if str(mount.get("mountPath")).rstrip("/") == directory.rstrip("/"):
            volume = next((one for one in objects(spec.get("volumes")) if one.get("name") == mount.get("name")), {})
            return str(mapping(volume.get("configMap")).get("name") or "")
    return ""


def facts_of(
    found: Installed,
    policies: PolicySet,
    inventory: Inventory | None,
    *,
    hydrator_image: str | None = None,
    level: str | None = None,
) -> Facts:
    """The facts of that installation with these policies; what is None is as the installation has it."""
    image = (
        found.told.get("WARMPOD_HYDRATOR_IMAGE", DEFAULT_HYDRATOR_IMAGE) if hydrator_image is None else hydrator_image
    )
    told = level or found.told.get("WARMPOD_DEFAULT_POD_SECURITY_LEVEL") or "baseline"
    known = {str(one) for one in Level}
    usual = Settings(
        hydrator_image=image,
        accelerators=found.accelerators,
        default_level=Level(told if told in known else "baseline"),
    )
    settings = replace(
        usual,
        image_bytes_per_second=_rate(found.told.get("WARMPOD_IMAGE_BYTES_PER_SECOND")) or usual.image_bytes_per_second,
        model_bytes_per_second=_rate(found.told.get("WARMPOD_MODEL_BYTES_PER_SECOND")) or usual.model_bytes_per_second,
        image_volumes=_IMAGE_VOLUMES.get(found.told.get("WARMPOD_IMAGE_VOLUMES", ""), usual.image_volumes),
    )
    return Facts(
        policies=policies,
        settings=settings,
        inventory=inventory or EMPTY,
        placement_usable=inventory is not None,
    )


def _rate(text: str | None) -> float | None:
    try:
        rate = float(text or "")
    except ValueError:
        return None
    return rate if 0 < rate < float("inf") else None


def stock(kubeconfig: Path | None, context: str | None, accelerators: Accelerators) -> Inventory | None:
    """What the cluster's nodes hold, taken stock of now; None, and a warning, when the caller may not list it all."""
    from webhook.controller.stock import take_stock
    from webhook.sources.kube_api import ApiFailure, NoCluster

    try:
        with _patience("taking stock of what the nodes hold"):
            return take_stock(kubeconfig, context, accelerators)[1]
    except (ApiFailure, NoCluster) as error:
        say("warning", f"no placement is shown: {error}")
        return None


async def labels_of(api: KubeApi, namespace: str) -> Mapping[str, str] | None:
    """The labels of a namespace; None when nobody may tell us, or it is not there."""
    from webhook.sources.kube_api import ApiFailure
    from webhook.sources.kube_api.objects import NAMESPACES, ObjectApi

    try:
        found = await ObjectApi(api.transport).find(NAMESPACES, "", namespace)
    except ApiFailure as failure:
        if failure.kind != "forbidden":
            raise
        return None
    if found is None:
        return None
    labels = mapping(mapping(found.get("metadata")).get("labels"))
    return {key: value for key, value in labels.items() if isinstance(value, str)}
