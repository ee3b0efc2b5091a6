"""Looking at a pod. Nothing here edits one, and nothing here fails: null or a wrong type counts as absent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.kube import Object, names

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
"""The lists of a pod's spec that hold containers, in the order the kubelet starts them."""

# Linux refuses to start a program with one argument or variable above 128 KiB (MAX_ARG_STRLEN) or about 2 MiB of them
# together (a quarter of an 8 MiB stack). What expands beyond that can never run, and must not fill our memory either.
_LONGEST_STRING = 128 * 1024
_LONGEST_ENVIRONMENT = 2 * 1024 * 1024

# `$$` or `$(NAME)`, as k8s.io/kubernetes/third_party/forked/golang/expansion reads them.
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def mapping(value: Any) -> Object:
    """`value` when it is an object, else an empty one. Do not edit the result."""
    return value if type(value) is dict else {}


def objects(value: Any) -> list[Object]:
    """The objects of a list, in order; empty for anything else. Do not edit the result."""
    if type(value) is not list:
        return []
    for item in value:
        if type(item) is not dict:
            return [item for item in value if type(item) is dict]
    return value


def spec(pod: Object) -> Object:
    """The pod's spec, or an empty one."""
    return mapping(pod.get("spec"))


def metadata(pod: Object) -> Object:
    """The pod's metadata, or an empty one."""
    return mapping(pod.get("metadata"))


def app_containers(pod: Object) -> list[Object]:
    """`spec.containers`."""
    return objects(spec(pod).get("containers"))


def init_containers(pod: Object) -> list[Object]:
    """`spec.initContainers`, sidecars among them."""
    return objects(spec(pod).get("initContainers"))


def every_container(pod: Object) -> Iterator[tuple[str, int, Object]]:
    """Init, app and ephemeral containers: the name of the list, the index in that list, the container."""
    inside = spec(pod)
    for name in CONTAINER_LISTS:
        found = inside.get(name)
        if type(found) is list:
            for index, container in enumerate(found):
                if type(container) is dict:
                    yield name, index, container


def is_sidecar(container: Object) -> bool:
    """Whether an init container keeps running beside the app (`restartPolicy: Always`)."""
    return container.get("restartPolicy") == "Always"


def images(pod: Object) -> tuple[str, ...]:
    """The images a node must hold before the pod runs, as written: of init and app containers and image volumes."""
    found: dict[str, None] = {}
    for container in init_containers(pod) + app_containers(pod):
        image = container.get("image")
        if type(image) is str and image:
            found[image] = None
    for volume in objects(spec(pod).get("volumes")):
        source = volume.get("image")
        if type(source) is dict:
            reference = source.get("reference")
            if type(reference) is str and reference:
                found[reference] = None
    return tuple(found)


def annotation(pod: Object, key: str) -> str | None:
    """The text of one annotation."""
    value = mapping(metadata(pod).get("annotations")).get(key)
    return value if type(value) is str else None


def label(pod: Object, key: str) -> str | None:
    """The text of one label."""
    value = mapping(metadata(pod).get("labels")).get(key)
    return value if type(value) is str else None


def labels(pod: Object) -> Mapping[str, str]:
    """All labels whose value is text."""
    found = mapping(metadata(pod).get("labels"))
    for value in found.values():
        if type(value) is not str:
            return {key: text for key, text in found.items() if type(text) is str}
    return found


def is_mirror(pod: Object) -> bool:
    """Whether the pod only mirrors a static pod, which the kubelet starts whatever the API server says."""
    return names.ANNOTATION_MIRROR_POD in mapping(metadata(pod).get("annotations"))


def names_its_node(pod: Object) -> bool:
    """Whether the pod is bound already, so that no scheduler looks at its affinity."""
    return bool(spec(pod).get("nodeName"))


def owned_by_daemonset(pod: Object) -> bool:
    """Whether a DaemonSet made the pod: its node is chosen by `matchFields`, placement has nothing to add."""
    return any(owner.get("kind") == "DaemonSet" for owner in objects(metadata(pod).get("ownerReferences")))


def is_windows(pod: Object) -> bool:
    """Whether the pod asks for Windows, by `spec.os` or by the well-known node label."""
    inside = spec(pod)
    if mapping(inside.get("os")).get("name") == "windows":
        return True
    return mapping(inside.get("nodeSelector")).get("kubernetes.io/os") == "windows"


def env_value(container: Object, name: str) -> str | None:
    """The literal value of an environment variable, as the kubelet would hand it to the program.

    `$(OTHER)` is replaced by the earlier literal variables of the same container, `$$` is an escaped `$`, and a
    reference to nothing stays as it is. None when the variable is absent, or when its text is decided elsewhere
    (`valueFrom`, `envFrom`) or is longer than a program can be given.
    """
    entries = objects(container.get("env"))
    for index in range(len(entries) - 1, -1, -1):  # of two entries of one name the kubelet takes the later
        entry = entries[index]
        if entry.get("name") == name:
            value = _literal(entry)
            if value is None or "$" not in value:
                return value
            return _expand(value, _environment(entries[:index]), closed=not container.get("envFrom"))
    return None


def arg_value(container: Object, flag: str) -> str | None:
    """The value of a command line flag (`--model=x` or `--model x`) in `command`, then `args`; the last one wins.

    `$(VAR)` is expanded from the container's environment as the kubelet does; None when the flag or its value is absent
    or unknown. Words inside a shell script (`sh -c "..."`) are not read.
    """
    found: str | None = None
    prefix = f"{flag}="
    expects = False
    for part in ("command", "args"):
        words = container.get(part)
        if type(words) is not list:
            continue
        for word in words:
            if type(word) is not str:
                expects = False
            elif expects:
                found, expects = word, False
            elif word == flag:
                found, expects = None, True
            elif word.startswith(prefix):
                found = word[len(prefix) :]
    if found is None or "$" not in found:
        return found
    return _expand(found, _environment(objects(container.get("env"))), closed=not container.get("envFrom"))


def _literal(entry: Object) -> str | None:
    """The text of one `env` entry; None when it comes from elsewhere."""
    value = entry.get("value")
    if type(value) is str and value:
        return value
    return None if entry.get("valueFrom") else ""


def _environment(entries: list[Object]) -> dict[str, str | None]:
    """The variables that these entries make, each expanded by those before it; None for text we cannot know."""
    known: dict[str, str | None] = {}
    room = _LONGEST_ENVIRONMENT
    for entry in entries:
        name = entry.get("name")
        if type(name) is not str:
            continue
        value = _literal(entry)
        if value is not None and "$" in value:
            # Whether an unknown reference is a miss or an `envFrom` matters only to the text that is asked for.
            value = _expand(value, known, closed=True)
        room -= len(value or "")
        known[name] = value if room > 0 else None
    return known


def _expand(text: str, variables: Mapping[str, str | None], *, closed: bool) -> str | None:
    """`text` with its references replaced; None when one is unknown, or the result is too long to be run.

    `closed`: a name that is not among the variables is defined nowhere, and the kubelet leaves the reference as it is.
    """
    pieces: list[str] = []
    length = position = 0
    for match in _REFERENCE.finditer(text):
        name = match[1]
        if name is None:
            value: str | None = "$"
        elif name in variables:
            value = variables[name]
        else:
            value = match[0] if closed else None
        if value is None:
            return None
        pieces += (text[position : match.start()], value)
        position = match.end()
        length += len(pieces[-2]) + len(value)
        if length > _LONGEST_STRING:
            return None
    pieces.append(text[position:])
    return "".join(pieces)
