"""Checked documents to what decisions read: references followed, expressions and selectors compiled, defaults set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from webhook.cel import Expression, InvalidExpression
from webhook.kube import Object, names
from webhook.kube.accelerator import Accelerators
from webhook.kube.quantity import parse as parse_quantity
from webhook.kube.selector import LabelSelector
from webhook.policy import presets
from webhook.policy.allow import canonical_source
from webhook.policy.document import ClientProfileDocument, NodeCacheDocument, PolicySpec, WarmPolicyDocument
from webhook.policy.model import (
    NO_CACHE,
    ClientProfile,
    Condition,
    Delivery,
    FailurePolicy,
    Files,
    Mode,
    Model,
    NodeCache,
    OnFailure,
    Origin,
    Placement,
    Policy,
    SourceRule,
    SourceVolume,
    Tenancy,
    Variable,
    VolumeRule,
)
from webhook.policy.model_document import FilesDocument, ModelDocument, ModelSource, SourceVolumeDocument
from webhook.policy.scope import AUTO, Scope
from webhook.policy.text import plain_size, seconds

_DAY = 24 * 3600
"""What the hydrator takes for a lease that it is not told."""


def node_cache(document: NodeCacheDocument, origin: Origin) -> NodeCache:
    """Return the cache of a checked document."""
    spec = document.spec
    given = presets.Place(spec.volume or {}, spec.fallback_volume)
    if spec.preset is not None:
        given = presets.place(spec.preset, spec.size or "", spec.storage_class_name or "")
    return NodeCache(
        name=document.metadata.name,
        volume=given.volume,
        fallback_volume=given.fallback_volume,
        tenancy=Tenancy(spec.tenancy),
        keep_free=spec.keep_free if spec.keep_free.endswith("%") else plain_size(spec.keep_free),
        max_size=plain_size(spec.max_size) if spec.max_size else "",
        trust_cache=spec.trust_cache,
        lease_seconds=seconds(spec.lease),
        origin=origin,
        preset=spec.preset or "",
        systems=presets.systems_of(given.volume, spec.preset),
    )


def client_profile(document: ClientProfileDocument, origin: Origin) -> ClientProfile:
    """Return the profile of a checked document."""
    spec = document.spec
    env, aws_config = dict(sorted(spec.env.items())), dict(sorted(spec.aws_config.items()))
    return ClientProfile(name=document.metadata.name, env=env, aws_config=aws_config, origin=origin)


class PolicyResolver:
    """Makes policies of checked documents. Equal accelerator patterns become one object, so lookups can be shared."""

    def __init__(self, scope: Scope, caches: Mapping[str, NodeCache], profiles: Mapping[str, ClientProfile]) -> None:
        self._scope = scope
        self._caches = caches
        self._profiles = profiles
        self._accelerators: dict[tuple[str, ...], Accelerators] = {}

    def policy(self, document: WarmPolicyDocument, origin: Origin) -> Policy:
        """Return the policy of a checked document."""
        spec = document.spec
        patterns = tuple(spec.match.accelerators or ())
        return Policy(
            name=document.metadata.name,
            mode=Mode(spec.mode),
            failure_policy=FailurePolicy(spec.failure_policy),
            namespace_selector=_selector(spec.match.namespace_selector),
            object_selector=_selector(spec.match.object_selector),
            accelerators=self._accelerators_of(patterns) if patterns else None,
            accelerator_patterns=patterns,
            conditions=tuple(Condition(each.name, self._compiled(each.expression)) for each in spec.match_conditions),
            variables=tuple(Variable(each.name, self._compiled(each.expression)) for each in spec.variables),
            image_placement=Placement(spec.images.placement) if spec.images else Placement.OFF,
            models=tuple(self._model(each) for each in spec.models),
            volumes=_volumes(spec),
            profiles=tuple(self._profiles[name] for name in spec.client_profiles if name != AUTO),
            auto_profiles=AUTO in spec.client_profiles,
            env=tuple((each.name, each.value) for each in spec.env),
            acknowledged=frozenset(spec.acknowledge),
            origin=origin,
            all_conditions=self._together([each.expression for each in spec.match_conditions]),
        )

    def _together(self, texts: Sequence[str]) -> Expression | None:
        """Return the expression that is true where all of these are, if there is one."""
        if len(texts) < 2 or any("variables" in text for text in texts):
            return None
        compiled = self._scope.compile(" && ".join([f"({text}\n)" for text in texts]))  # a comment ends with its line
        return None if isinstance(compiled, InvalidExpression) else compiled

    def _model(self, document: ModelDocument) -> Model:
        source = self._source(document.source)
        cache = NO_CACHE if document.cache is None else self._caches[document.cache]
        files = _files(document.files)
        return Model(
            name=document.name,
            source=source,
            source_volume=_source_volume(document.source_volume),
            allow=tuple(document.allow or (source.text,)),
            files=files,
            cache=cache,
            mount_path=document.mount_path,
            containers=tuple(document.containers),
            redirect=document.redirect,
            placement=Placement(document.placement),
            on_failure=OnFailure(document.on_failure),
            page_cache=document.page_cache,
            told=_told(document, cache, files),
            delivery=Delivery(document.delivery),
            size=_bytes(document.size),
            zone=document.zone or "",
            zone_placement=Placement(document.zone_placement),
        )

    def _source(self, document: ModelSource) -> SourceRule:
        if document.value is not None:
            return SourceRule("value", document.value)
        if document.annotation is not None:
            return SourceRule("annotation", document.annotation)
        if document.label is not None:
            return SourceRule("label", document.label)
        if document.env is not None:
            return SourceRule("env", document.env)
        if document.arg is not None:
            return SourceRule("arg", document.arg)
        text = document.expression or ""
        return SourceRule("expression", text, self._compiled(text))

    def _accelerators_of(self, patterns: tuple[str, ...]) -> Accelerators:
        if patterns not in self._accelerators:
            self._accelerators[patterns] = Accelerators(patterns, patterns)
        return self._accelerators[patterns]

    def _compiled(self, text: str) -> Expression:
        compiled = self._scope.compile(text)
        if isinstance(compiled, InvalidExpression):  # a document whose expressions do not compile never gets here
            raise compiled
        return compiled


def _source_volume(document: SourceVolumeDocument | None) -> SourceVolume | None:
    if document is None:
        return None
    holds = canonical_source(document.holds) if document.holds else None
    return SourceVolume(document.volume, document.mount_path or "", holds or "", _bytes(document.throughput))


def _bytes(quantity: str | None) -> int:
    return math.ceil(parse_quantity(quantity)) if quantity else 0


def _files(document: FilesDocument | None) -> Files:
    if document is None:
        return Files()
    include, exclude = (tuple(sorted(globs)) for globs in (document.include, document.exclude))
    filters = _filters(include, exclude, prefer_safetensors=document.prefer_safetensors)
    return Files(include, exclude, document.prefer_safetensors, _json(filters) if filters else "")


def _filters(include: tuple[str, ...], exclude: tuple[str, ...], *, prefer_safetensors: bool) -> Object:
    filters: Object = {"exclude": exclude, "include": include, "preferSafetensors": prefer_safetensors}
    return {key: value for key, value in filters.items() if value}


def _told(document: ModelDocument, cache: NodeCache, files: Files) -> str:
    """What is at its default is left out: the shorter the argument, the more a reader sees in it."""
    told: Object = {
        "cache": f"{names.CACHE_ROOT}/{cache.name}",
        "keepFree": cache.keep_free,
        "name": document.name,
        "onFailure": document.on_failure,
        **_filters(files.include, files.exclude, prefer_safetensors=files.prefer_safetensors),
    }
    if cache.lease_seconds != _DAY:
        told["lease"] = cache.lease_seconds
    if cache.max_size:
        told["maxSize"] = cache.max_size
    if document.page_cache:
        told["pageCache"] = True
    if cache.trust_cache:
        told["trustCache"] = True
    return _json(told)


def _json(value: Object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _selector(raw: dict[str, Any] | None) -> LabelSelector | None:
    """Return the compiled selector; None for one without requirements, which matches everything."""
    if not raw or not (raw.get("matchLabels") or raw.get("matchExpressions")):
        return None
    return LabelSelector.parse(raw)


def _volumes(spec: PolicySpec) -> tuple[VolumeRule, ...]:
    return tuple(
        VolumeRule(
            each.volume,
            each.mount_path,
            each.read_only,
            tuple(each.containers),
            each.zone or "",
            Placement(each.zone_placement),
        )
        for each in spec.volumes
    )
