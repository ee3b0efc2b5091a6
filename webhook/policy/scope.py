"""What a document is checked against beside itself: the CEL engine, and the caches and profiles of other documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from webhook.cel import Environment, Expression, InvalidExpression
from webhook.kube.selector import InvalidSelector, LabelSelector
from webhook.policy.finding import Finding, refusal, suggestion

AUTO = "auto"
"""Among `clientProfiles`: the settings that suit the container and its nodes, in place of a ClientProfile's."""
_MOST_PROFILES = 16

_SELECTOR_PART = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


@dataclass(slots=True)
class Scope:
    """The validation context. `caches` and `profiles` map each name to "" or to the place where it was refused."""

    environment: Environment
    caches: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    _compiled: dict[str, Expression | InvalidExpression] = field(default_factory=dict)

    def compile(self, source: str) -> Expression | InvalidExpression:
        """Compile once, however many documents hold the expression."""
        if source not in self._compiled:
            try:
                self._compiled[source] = self.environment.compile(source)
            except InvalidExpression as error:
                self._compiled[source] = error
        return self._compiled[source]


def _check_expression(text: str, info: ValidationInfo[Scope]) -> str:
    scope: Scope = info.context
    compiled = scope.compile(text)
    if isinstance(compiled, InvalidExpression):
        within = (compiled.line, compiled.column)
        raise refusal(Finding("P020", f"not CEL: {compiled.message}", within=within))
    return text


def _check_selector(raw: dict[str, Any]) -> dict[str, Any]:
    try:
        LabelSelector.parse(raw)
    except InvalidSelector as error:
        raise refusal(Finding("P019", error.reason, at=_selector_place(error.path))) from None
    return raw


def _selector_place(path: str) -> tuple[str | int, ...]:
    parts = [inner or plain for inner, plain in _SELECTOR_PART.findall(path)]
    return tuple(int(part) if part.isdigit() and parts[0] == "matchExpressions" else part for part in parts)


def _check_reference(
    kind: str, known: Callable[[Scope], Mapping[str, str]]
) -> Callable[[str, ValidationInfo[Scope]], str]:
    def check(name: str, info: ValidationInfo[Scope]) -> str:
        names = known(info.context)
        if kind == "ClientProfile" and name == AUTO:
            return name
        if name not in names:
            hint = suggestion(name, names) or f"add a {kind} document of that name"
            raise refusal(Finding("P031", f'there is no {kind} "{name}"', hint))
        if names[name]:
            raise refusal(Finding("P032", f'{kind} "{name}" was refused', f"mend it first: {names[name]}"))
        return name

    return check


CelText = Annotated[str, AfterValidator(_check_expression)]
Selector = Annotated[dict[str, Any], AfterValidator(_check_selector)]
CacheName = Annotated[str, AfterValidator(_check_reference("NodeCache", lambda scope: scope.caches))]
ProfileName = Annotated[str, AfterValidator(_check_reference("ClientProfile", lambda scope: scope.profiles))]

AUTO_OR_LIST = (
    BeforeValidator(lambda raw: [AUTO] if raw == AUTO else raw),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": AUTO},
                {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_PROFILES, "uniqueItems": True},
            ],
            "default": [],
        }
    ),
)
"""`auto` alone stands for a list of it."""

_Place = tuple[str | int, ...]


def variable_order(raw: Any, scope: Scope) -> Iterator[Finding]:
    """Every `variables.x` must be defined, and in `variables` itself above its use."""
    if not isinstance(raw, dict):
        return
    defined: list[str] = []
    every = [entry.get("name") for entry in _mappings(raw.get("variables"))]
    for place, text, own in _expressions(raw):
        compiled = scope.compile(text)
        for name in () if isinstance(compiled, InvalidExpression) else sorted(compiled.references):
            if name in defined:
                continue
            message = f"variables.{name} is not defined"
            hint = suggestion(name, defined) or "define it under spec.variables"
            if name in every:
                message, hint = f"variables.{name} is used before it is defined", "move it above its first use"
            yield Finding("P021", message, hint, place)
        if own:
            defined.append(own)


def _expressions(raw: dict[str, Any]) -> Iterator[tuple[_Place, str, str]]:
    """Every expression with its place, and the variable it defines; variables first."""
    for section in ("variables", "matchConditions"):
        for index, entry in enumerate(_list(raw.get(section))):
            if isinstance(entry, dict) and isinstance(entry.get("expression"), str):
                own = entry.get("name") if section == "variables" else ""
                yield (section, index, "expression"), entry["expression"], own if isinstance(own, str) else ""
    for index, entry in enumerate(_list(raw.get("models"))):
        source = entry.get("source") if isinstance(entry, dict) else None
        text = source.get("expression") if isinstance(source, dict) else None
        if isinstance(text, str):
            yield ("models", index, "source", "expression"), text, ""


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _mappings(raw: Any) -> Iterator[dict[str, Any]]:
    return (entry for entry in _list(raw) if isinstance(entry, dict))
