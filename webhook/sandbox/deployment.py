"""What the Deployment of the manifests would have a kubelet start: arguments and environment of its containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from webhook.kube import Object
from webhook.sandbox import SandboxFailed

WEBHOOK: Final = "webhook"
CONTROLLER: Final = "controller"


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that a container says it is in. No `uid`: the API knows no such pod, so nothing may be owned by it."""

    name: str
    namespace: str
    uid: str = ""

    def field(self, path: str) -> str | None:
        """The value of a `fieldRef`; None for a path that no container of ours asks for."""
        return {"metadata.name": self.name, "metadata.namespace": self.namespace, "metadata.uid": self.uid}.get(path)


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is started: the words after the image's entry point, and the variables."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def with_settings(self, settings: Mapping[str, str]) -> Container:
        """The same with these variables in place of its own."""
        return replace(self, environment={**self.environment, **settings})


def container(deployment: Object, name: str, pod: Pod) -> Container:
    """The container of this name. Raises `SandboxFailed` for what a kubelet would do and this cannot."""
    found = [each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == name]
    if len(found) != 1:
        raise SandboxFailed(f"the Deployment {deployment['metadata']['name']} has no container {name}")
    environment = {each["name"]: _value(each, pod) for each in found[0].get("env", ())}
    return Container(tuple(found[0].get("args", ())), environment)


def _value(variable: Object, pod: Pod) -> str:
    if "valueFrom" not in variable:
        return str(variable.get("value", ""))
    path = variable["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
    value = pod.field(path)
    if value is None:
        raise SandboxFailed(f"nobody plays what the variable {variable['name']} comes from: {variable['valueFrom']}")
    return value
