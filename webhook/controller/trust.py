"""The Secret with its notes, and the configuration with its bundles: documents of the API as what a rotation needs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from certs import marks
from certs.contents import Contents
from certs.rotation import Asked, Seen
from certs.steps import Begin, Issue, Promote, Rewrite
from webhook.controller.verdict import hooks
from webhook.kube import Object, names
from webhook.kube.pod import mapping
from webhook.sources.kube_api.objects import SECRETS, WEBHOOK_CONFIGURATIONS, ObjectApi, decoded

_LABELS = {"app.kubernetes.io/name": "warmpod", "app.kubernetes.io/component": "certificates"}
_OWNER = "cert-manager.io/certificate-name"  # https://cert-manager.io/docs/reference/annotations/


@dataclass(frozen=True, slots=True)
class Stored:
    """The Secret: its content, None when there is no Secret, and its annotations."""

    document: Object | None
    data: Mapping[str, bytes] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> Asked | None:
        """What somebody wants rotated."""
        found = self.annotations.get(names.ANNOTATION_ROTATE)
        return found if found in ("leaf", "authority") else None  # type: ignore[return-value]  # narrowed by `in`

    @property
    def complaint(self) -> str:
        """What is wrong with what somebody asked for; "" when nothing is."""
        found = self.annotations.get(names.ANNOTATION_ROTATE)
        if found is None or self.asked:
            return ""
        return f"the Secret's annotation {names.ANNOTATION_ROTATE} says neither leaf nor authority"

    @property
    def owner(self) -> str:
        """Who else looks after this Secret; "" for nobody."""
        return "cert-manager" if _OWNER in self.annotations else ""

    @property
    def trusted(self) -> str:
        """The note of `certs.marks`."""
        return self.annotations.get(names.ANNOTATION_TRUSTED, "")

    @property
    def switched(self) -> str:
        """When the authority that signs began to."""
        return self.annotations.get(names.ANNOTATION_SWITCHED, "")

    def noting(self, trusted: str) -> Stored:
        """The same with another note; "" for none."""
        return replace(self, annotations=_without({**self.annotations, names.ANNOTATION_TRUSTED: trusted}))

    def after(self, step: Rewrite, data: Mapping[str, bytes], moment: str) -> Stored:
        """The content after a step, and the notes that go with it. What was asked for is done by it, or stays asked."""
        notes = dict(self.annotations)
        if isinstance(step, Begin | Promote):
            notes[names.ANNOTATION_SWITCHED] = moment
        if isinstance(step, Begin | Promote) or (isinstance(step, Issue) and self.asked == "leaf"):
            notes.pop(names.ANNOTATION_ROTATE, None)
        return replace(self, data=data, annotations=notes)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The MutatingWebhookConfiguration; None for none."""

    document: Object | None

    @property
    def bundles(self) -> tuple[bytes, ...]:
        """PEM of each hook's `caBundle`; b"" where there is none, or something else than base64."""
        return tuple(decoded(mapping(hook.get("clientConfig")).get("caBundle")) for hook in self.hooks)

    @property
    def hooks(self) -> list[Object]:
        """Its hooks."""
        return hooks(self.document or {})


def surroundings(
    stored: Stored, held: Contents, configuration: Configuration, serials: Iterable[str | None] | None
) -> Seen:
    """The world around the Secret, for a decision. `serials` are those that live replicas serve, None for unknown."""
    return Seen(
        bundles=configuration.bundles,
        trusted_since=marks.trusted_since(stored.trusted, held.trusted),
        switched_at=marks.parse_moment(stored.switched),
        serials=frozenset(serial or "" for serial in serials or ()),
        replicas_known=serials is not None,
    )


class TrustStore:
    """Reads and writes both. Every method raises ApiFailure: "conflict" when what was read is no longer so."""

    def __init__(self, api: ObjectApi, namespace: str, secret: str, configuration: str) -> None:
        self._api = api
        self._namespace = namespace
        self._secret = secret
        self._configuration = configuration

    async def read(self) -> Stored:
        """The Secret."""
        document = await self._api.find(SECRETS, self._namespace, self._secret)
        if document is None:
            return Stored(None)
        annotations = mapping(document["metadata"].get("annotations"))
        return Stored(
            document,
            {key: decoded(value) for key, value in mapping(document.get("data")).items()},
            {key: value for key, value in annotations.items() if isinstance(value, str)},
        )

    async def write(self, stored: Stored) -> None:
        """Put content and annotations in place of what was read. What else is in the document stays."""
        data = {key: base64.b64encode(value).decode() for key, value in (stored.data or {}).items()}
        if stored.document is None:
            metadata = {
                "name": self._secret,
                "namespace": self._namespace,
                "labels": _LABELS,
                "annotations": dict(stored.annotations),
            }
            document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
            await self._api.create(SECRETS, self._namespace, document)
            return
        metadata = {**stored.document["metadata"], "annotations": dict(stored.annotations)}
        await self._api.replace(SECRETS, self._namespace, {**stored.document, "metadata": metadata, "data": data})

    async def read_configuration(self) -> Configuration:
        """The configuration."""
        return Configuration(await self._api.find(WEBHOOK_CONFIGURATIONS, "", self._configuration))

    async def trust(self, configuration: Configuration, bundle: bytes) -> None:
        """Give every hook this bundle."""
        assert configuration.document is not None, "only hooks that are there can trust"
        value = base64.b64encode(bundle).decode()
        version = configuration.document["metadata"].get("resourceVersion")
        # Writing the version that was read makes another one a conflict, and not a patch that the API server refuses.
        operations: list[Object] = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
        operations += [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": value}
            for index in range(len(configuration.hooks))
        ]
        await self._api.patch(WEBHOOK_CONFIGURATIONS, "", self._configuration, operations)


def _without(annotations: Mapping[str, str]) -> Mapping[str, str]:
    return {key: value for key, value in annotations.items() if value}
