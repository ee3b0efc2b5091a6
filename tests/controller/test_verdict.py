"""What counts as a registration that leads to us, and which text may become one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.registrations import ADDRESS, AUTHORITY, LEAF, OTHER, bundle, configuration, hook
from webhook.controller import backup
from webhook.controller.backup import Unfit
from webhook.controller.verdict import PATHS, judge
from webhook.kube import names
from webhook.server import app

Object = dict[str, Any]
CHAIN = [LEAF.certificate]
NAME = names.WEBHOOK_CONFIGURATION


def client(**fields: Any) -> Object:
    return {"caBundle": bundle(AUTHORITY), **fields}


def url(text: str) -> Object:
    return configuration(hook(clientConfig=client(url=text)))


def trusting(text: str | None) -> Object:
    service = hook()["clientConfig"]["service"]
    return configuration(hook(clientConfig={"service": service, **({"caBundle": text} if text is not None else {})}))


def rules(**fields: Any) -> Object:
    return configuration(hook(rules=[{**hook()["rules"][0], **fields}]))


SERVICE = hook()["clientConfig"]["service"]
PATHLESS = {key: value for key, value in SERVICE.items() if key != "path"}
OTHERS = hook(
    "sidecars.mesh.example", clientConfig={"service": {"namespace": "mesh", "name": "injector", "path": "/i"}}
)
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "operations": ["*"]}

VERDICTS: dict[str, tuple[Object | None, str]] = {
    "as shipped": (configuration(), "ok"),
    "missing": (None, "missing"),
    "being deleted": (configuration(deletionTimestamp="2026-01-01T00:00:00Z"), "leaving"),
    "no hooks": ({**configuration(), "webhooks": []}, "empty"),
    "no field": ({key: value for key, value in configuration().items() if key != "webhooks"}, "empty"),
    "hooks null": ({**configuration(), "webhooks": None}, "empty"),
    "hooks that are none": ({**configuration(), "webhooks": ["a", 1]}, "empty"),
    "another product's": (configuration(OTHERS), "foreign"),
    "ours beside another's": (configuration(OTHERS, hook()), "ok"),
    "audit on every path": (configuration(hook(path="/mutate/audit")), "ok"),
    "selectors changed": (configuration(hook(namespaceSelector={"matchLabels": {"a": "b"}})), "ok"),
    "timeout and policy changed": (configuration(hook(timeoutSeconds=30, failurePolicy="Fail")), "ok"),
    "one hook of the two": (configuration(hook()), "ok"),
    "our Service by another name of hook": (configuration(hook("gpu.team.example")), "ok"),
    "a path of nobody": (configuration(hook(path="/other")), "astray"),
    "no path": (configuration(hook(clientConfig=client(service=PATHLESS))), "astray"),
    "another Service": (configuration(hook(clientConfig=client(service={**SERVICE, "name": "x"}))), "astray"),
    "another namespace": (configuration(hook(clientConfig=client(service={**SERVICE, "namespace": "x"}))), "astray"),
    "no client": (configuration(hook(clientConfig=None)), "astray"),
    "one of two leads elsewhere": (configuration(hook(), hook("audit.pods.warmpod.dev", "/x")), "astray"),
    "a URL of ours": (url("https://127.0.0.1:8443/mutate"), "ok"),
    "a URL of somebody": (url("https://evil.example/mutate"), "astray"),
    "a URL that begins like ours": (url("https://127.0.0.1.evil.example/mutate"), "astray"),
    "a URL with our name as user": (url("https://127.0.0.1@evil.example/mutate"), "astray"),
    "a URL that is none": (url("https://[/mutate"), "astray"),
    "a URL that is a number": (configuration(hook(clientConfig=client(url=7))), "astray"),
    "no rules": (configuration(hook(rules=[])), "astray"),
    "rules about other things": (rules(resources=["configmaps"]), "astray"),
    "rules about deletion": (rules(operations=["DELETE"]), "astray"),
    "rules about everything": (rules(operations=["*"], resources=["*/*"], apiGroups=["*"]), "ok"),
    "rules that are none": (configuration(hook(rules=[1, None])), "astray"),
    "no bundle": (trusting(None), "distrusting"),
    "empty bundle": (trusting(""), "distrusting"),
    "another's bundle": (trusting(bundle(OTHER)), "distrusting"),
    "both bundles": (trusting(bundle(OTHER, AUTHORITY)), "ok"),
    "not base64": (trusting("%%%"), "distrusting"),
    "base64 of nothing": (trusting("AAAA"), "distrusting"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(case: str) -> None:
    document, state = VERDICTS[case]
    found = judge(document, ADDRESS, CHAIN)
    assert found.state == state
    assert (not found.text) == (state == "ok")


def test_trust_is_not_judged_by_who_does_not_know_what_is_served() -> None:
    assert judge(trusting(""), ADDRESS).state == "ok"


def test_our_paths_are_those_that_the_webhook_serves() -> None:
    text = Path(app.__file__).read_text()
    assert {path for path in PATHS if f'Route("{path}"' in text} == PATHS
    assert text.count('Route("/mutate') == len(PATHS)


FIELDS = ["metadata", "name", "webhooks", "clientConfig", "service", "namespace", "path", "url", "rules", "caBundle"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(document=st.dictionaries(st.sampled_from(["metadata", "webhooks", "kind"]), JSON))
def test_whatever_is_there_gets_a_verdict_and_is_never_taken_for_ours(document: Object) -> None:
    assert judge(document, ADDRESS, CHAIN).state != "ok"
    with pytest.raises(Unfit):
        backup.content(document, NAME, ADDRESS)
    with pytest.raises(Unfit):
        backup.restored({"data": {backup.KEY: json.dumps(document)}}, NAME, ADDRESS)


def test_what_is_kept_is_ours_alone_without_what_the_api_server_sets() -> None:
    annotations = {"cert-manager.io/inject-ca-from": "a/b"}
    seen = configuration(
        OTHERS,
        hook(timeoutSeconds=7),
        labels={"team": "a"},
        annotations=annotations,
        uid="u",
        resourceVersion="7",
        managedFields=[{"manager": "m"}],
        ownerReferences=[{"uid": "x"}],
        finalizers=["f"],
        generation=3,
        creationTimestamp="2026-01-01T00:00:00Z",
    )
    made = backup.content(seen, NAME, ADDRESS)
    assert made["metadata"] == {"name": NAME, "labels": {"team": "a"}, "annotations": annotations}
    assert [one["name"] for one in made["webhooks"]] == ["pods.warmpod.dev"]
    assert made["webhooks"][0]["timeoutSeconds"] == 7
    assert "caBundle" not in made["webhooks"][0]["clientConfig"]
    assert backup.restored(backup.config_map(made, "ns"), NAME, ADDRESS) == made
    assert seen["webhooks"][1]["clientConfig"]["caBundle"], "the document that was seen stays as it was"


def stored(document: object) -> Object:
    return {"data": {backup.KEY: document if isinstance(document, str) else json.dumps(document)}}


UNFIT: dict[str, tuple[Object, str]] = {
    "no data": ({}, "has no configuration.json"),
    "data null": ({"data": None}, "has no configuration.json"),
    "empty": (stored(""), "is no JSON"),
    "garbage": (stored("{{{"), "is no JSON"),
    "a list": (stored([]), "is no object"),
    "deep": (stored("[" * 100_000), "is no JSON"),
    "endless": (stored("x" * (backup.MAX_BYTES + 1)), "more than"),
    "no hooks": (stored({**configuration(), "webhooks": []}), "no webhook of it is ours"),
    "another object": (stored({**configuration(), "metadata": {"name": "other"}}), "is not Mutating"),
    "another kind": (stored({**configuration(), "kind": "ValidatingWebhookConfiguration"}), "is not Mutating"),
    "another's hooks": (stored(configuration(OTHERS)), "webhooks of others"),
    "another's beside ours": (stored(configuration(hook(), OTHERS)), "webhooks of others"),
    "sent elsewhere": (stored(url("https://evil.example/mutate")), "does not lead to us"),
    "secrets, too": (stored(rules(resources=["pods", "secrets"])), "creation of pods alone"),
    "everything": (stored(rules(resources=["*"], apiGroups=["*"])), "creation of pods alone"),
    "one rule more": (stored(configuration(hook(rules=[*hook()["rules"], EVERYTHING]))), "creation of pods alone"),
    "no rules": (stored(configuration(hook(rules=[]))), "creation of pods alone"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_backup_that_would_not_be_an_installation_of_ours_is_refused(case: str) -> None:
    document, reason = UNFIT[case]
    with pytest.raises(Unfit, match=reason):
        backup.restored(document, NAME, ADDRESS)


def test_a_huge_configuration_is_not_kept() -> None:
    with pytest.raises(Unfit, match="bytes"):
        backup.content(configuration(annotations={"a": "x" * backup.MAX_BYTES}), NAME, ADDRESS)
