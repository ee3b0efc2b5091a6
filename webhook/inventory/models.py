"""What is known of a model across nodes: the version that was hydrated last, and which label stands for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from webhook.inventory.node_models import Key
from webhook.kube import names


class Remembered(NamedTuple):
    """What an earlier snapshot said of a model."""

    key: Key
    bytes: int


class _Model:
    __slots__ = ("by_node", "label", "latest")

    def __init__(self, label: str) -> None:
        self.label = label
        self.by_node: dict[str, tuple[float, str] | None] = {}
        self.latest: tuple[float, str] | None = None


class Models:
    """The models that any node's reports name, by tenant and source."""

    def __init__(self) -> None:
        self._models: dict[Key, _Model] = {}
        self._labels: dict[str, Key] = {}
        self._remembered: dict[str, Remembered] = {}

    def state(self, key: Key, node: str, checked: tuple[float, str] | None) -> set[str]:
        """A node's reports name the model; `checked` is when it was compared with its source there, and the version.

        Returns the nodes for which this may change what they are warm for: all that know the model, where another
        version is the latest now.
        """
        model = self._models.get(key)
        if model is None:
            label = names.model_label(key[1], key[0])
            model = self._models[key] = _Model(label)
            self._labels[label] = key
        before = model.by_node.get(node)
        model.by_node[node] = checked
        if checked == before:
            return set()
        return self._decide(model, before, checked)

    def drop(self, key: Key, node: str) -> set[str]:
        """A node's reports do not name the model any more. Returns nodes as `state` does."""
        model = self._models.get(key)
        if model is None or node not in model.by_node:
            return set()
        before = model.by_node.pop(node)
        if not model.by_node:
            del self._models[key]
            del self._labels[model.label]
            return set()
        return self._decide(model, before, None)

    def is_current(self, key: Key, version: str) -> bool:
        """Whether a node with this version is warm: none is known to be later."""
        model = self._models.get(key)
        return model is None or model.latest is None or model.latest[1] == version

    def label(self, key: Key) -> str:
        """The label that stands for a model that some node's reports name."""
        return self._models[key].label

    def named(self, label: str) -> Key | None:
        """Tenant and source of the model that a label stands for, as far as reports or an earlier snapshot tell."""
        key = self._labels.get(label)
        if key is None and (remembered := self._remembered.get(label)) is not None:
            key = remembered.key
        return key

    def remembered_bytes(self, label: str) -> int:
        """The size that an earlier snapshot gave the model, 0 for none."""
        remembered = self._remembered.get(label)
        return remembered.bytes if remembered else 0

    def remember(self, models: Iterable[tuple[str, Remembered]]) -> None:
        """Take names and sizes, by label, from an earlier snapshot."""
        self._remembered.update(models)

    def _decide(self, model: _Model, before: tuple[float, str] | None, checked: tuple[float, str] | None) -> set[str]:
        """The nodes concerned when one node's evidence went from `before` to `checked`."""
        latest = model.latest
        if checked is not None and (latest is None or checked >= latest):
            model.latest = checked
        elif before == latest:
            model.latest = max((each for each in model.by_node.values() if each is not None), default=None)
        else:
            return set()
        version = None if latest is None else latest[1]
        now = None if model.latest is None else model.latest[1]
        return set(model.by_node) if version != now else set()
