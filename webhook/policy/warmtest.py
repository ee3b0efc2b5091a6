"""Tests of policies as people write them, `kind: WarmTest`: pods, the world around them, and what should come of it.

Strict like the policies themselves, so that a misspelt expectation is a fault and never a test that passes. What a test
expects are facts (a policy matched, a variable is set), each of which may be left out: a change of the policies breaks
the tests that speak of it, and no others.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    WithJsonSchema,
    model_validator,
)

from webhook.policy.finding import Finding, distinct, refusal, run_beside, unique
from webhook.policy.strict import Metadata, Strict
from webhook.policy.warmtest_inventory import AnyInventory

Part = Literal["placement", "hydration", "volumes", "env", "redirect", "awsConfig"]
Level = Literal["privileged", "baseline", "restricted"]
_LONGEST_NAME = 200
_STEP = r"[^.\[\]]+|\[[^\[\]]+\]"
_PATH = re.compile(rf"(?:{_STEP})(?:\.[^.\[\]]+|\[[^\[\]]+\])*")


def _case_name(text: str) -> str:
    if not text.strip() or len(text) > _LONGEST_NAME or not text.isprintable():
        raise refusal(Finding("P014", f"must be 1-{_LONGEST_NAME} printable characters"))
    return text


def _object_or_file(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, str) and value and "\0" not in value):
        return value
    raise refusal(Finding("P012", "must be an object, or the path of a file that holds one"))


def _truth_or_glob(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    raise refusal(Finding("P012", "must be true, false, or a glob of the message"))


def _paths(value: dict[str, Any]) -> dict[str, Any]:
    faults = [
        Finding("P014", "not a path", "write spec.containers[vllm].args[0]", (key,), on_key=True)
        for key in value
        if _PATH.fullmatch(key) is None
    ]
    if faults:
        raise refusal(*faults)
    return value


CaseName = Annotated[str, AfterValidator(_case_name)]
ObjectOrFile = Annotated[Any, AfterValidator(_object_or_file), WithJsonSchema({"type": ["object", "string"]})]
TruthOrGlob = Annotated[Any, AfterValidator(_truth_or_glob), WithJsonSchema({"type": ["boolean", "string"]})]


class SettingsDocument(Strict):
    """What an installation sets by flags."""

    hydrator_image: str | None = None
    """Image of the init container; empty turns hydration off."""
    default_pod_security_level: Level | None = None
    """For namespaces without the label pod-security.kubernetes.io/enforce. Default: baseline."""
    image_volumes: Literal["auto", "on", "off"] | None = None
    """Whether pods get image volumes (quote on and off). Default: auto, where the API server and every kubelet have."""


class SituationDocument(Strict):
    """A pod, and the world it comes into."""

    pod: ObjectOrFile | None = None
    """The pod, or the path of a file that holds it, from this file's directory."""
    workload: ObjectOrFile | None = None
    """A Deployment, Job or anything else with a pod template, or the path of its file. Its first pod counts."""
    template: str | None = None
    """Which template of the workload: its path, such as spec.leaderWorkerTemplate.workerTemplate."""
    merge: dict[str, Any] | None = None
    """Changes to the pod, as a JSON merge patch (RFC 7386): null removes a field, lists are replaced whole."""
    namespace: str | None = Field(default=None, min_length=1, max_length=63)
    """The pod's namespace. Default: the one it names, else default."""
    namespace_labels: dict[str, str] | None = None
    """The namespace's labels. Default: none. The field without a value says that nobody knows them."""
    inventory: AnyInventory | None = None
    """What nodes hold. Default: no inventory to trust, so no placement."""
    settings: SettingsDocument = SettingsDocument()
    """What the installation sets by flags."""

    @model_validator(mode="wrap")
    @classmethod
    def _one_pod(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        both = isinstance(raw, dict) and raw.get("pod") is not None and raw.get("workload") is not None
        found = [Finding("P016", "pod and workload exclude each other", "keep one", ("workload",))] if both else []
        value: Self = run_beside(raw, handler, found)
        return value


class SecondsDocument(Strict):
    """Bounds of the estimate of seconds saved."""

    min: float | None = None
    """At least."""
    max: float | None = None
    """At most."""

    @model_validator(mode="wrap")
    @classmethod
    def _bounded(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        empty = isinstance(raw, dict) and not raw
        value: Self = run_beside(raw, handler, [Finding("P011", "min or max is wanted")] if empty else [])
        return value


def _contradiction(raw: Any) -> list[Finding]:
    if not isinstance(raw, dict) or raw.get("unchanged") is not True:
        return []
    return [
        Finding("P016", f"{field} cannot be of a pod that is unchanged", "remove one of the two", (field,))
        for field in ("changes", "patch", "patchContains")
        if raw.get(field)
    ]


class ResultDocument(Strict):
    """What should become of the pod."""

    unchanged: Literal[True] | None = None
    """Nothing of it changes."""
    changes: Annotated[list[Part], distinct("part")] | None = None
    """Which parts of it change: exactly these."""
    pod: Annotated[dict[str, Any], AfterValidator(_paths)] | None = None
    """What it has after, by path: `spec.containers[vllm].args[0]: --model=/models`. Maps may have more fields than are
    given, lists of named objects more entries; null says that a field is absent."""
    env: dict[str, dict[str, str | None]] | None = None
    """Its environment after, by container and name; null says that a variable is not set."""
    patch: list[dict[str, Any]] | None = None
    """The whole patch, operation by operation. Breaks on every change: prefer the others."""
    patch_contains: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    """Operations that are in the patch, each with at least these fields."""
    seconds_saved: SecondsDocument | None = None
    """Start-up time saved by placement, as it is estimated."""

    @model_validator(mode="wrap")
    @classmethod
    def _says_something(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        found = _contradiction(raw)
        if isinstance(raw, dict) and not raw:
            found.append(Finding("P011", "expects nothing, so it could not fail", "say what should happen"))
        value: Self = run_beside(raw, handler, found)
        return value


class ExpectDocument(ResultDocument):
    """What should come of a case. All that is given must hold."""

    matched: Annotated[list[str], distinct("policy")] | None = None
    """Policies that matched, among others; an empty list: none did."""
    skipped: dict[str, str] | None = None
    """Policies that were skipped, and a glob of the reason: `tuning: condition * is false`."""
    errored: dict[str, str] | None = None
    """Policies whose CEL had no answer, and a glob of the reason."""
    denied: TruthOrGlob | None = None
    """Whether the pod is refused; a text is a glob of the message."""
    warnings: list[str] | None = None
    """Globs, each of one of the warnings; an empty list: there are none."""
    would: ResultDocument | None = None
    """The same of what would become of the pod, if the policies in Audit were in Enforce."""


class CaseDocument(SituationDocument):
    """One case. What it leaves out is as in `defaults`."""

    name: CaseName
    """Unique in the test."""
    expect: ExpectDocument
    """What should come of it."""


class WarmTestSpec(Strict):
    """What is tested, and how."""

    policies: Annotated[list[str], distinct("path")] = Field(default=[])
    """Files and directories of the policies, from this file's directory. Default: that directory, or the one around it
    where it is called `cases` or `tests`."""
    defaults: SituationDocument = SituationDocument()
    """What cases have in common."""
    cases: Annotated[list[CaseDocument], unique("name")] = Field(min_length=1, max_length=1000)
    """The cases."""


class WarmTestDocument(Strict):
    """Tests of policies: `warmpod test` runs them."""

    api_version: Literal["warmpod.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["WarmTest"]
    """The kind of document."""
    metadata: Metadata
    """What names the test."""
    spec: WarmTestSpec
    """The cases, and what they have in common."""
