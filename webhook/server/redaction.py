"""What of a review may be kept in a file: everything that decided, and no secret.

By default the value of a variable is replaced by a token unless it is known to be none of the pod's own affairs: its
name is read or set by a policy, or one of S3 clients; or the value stands in the clear elsewhere in the pod, or names a
model. What looks like a secret is replaced wherever it stands (`webhook.server.secret_text`). Equal values get equal
tokens, so a decision over what is left is the one over what was sent, as far as it compared and did not look inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from webhook.admission.decision import Decision
from webhook.admission.recipe import recipe
from webhook.clients.catalogue import catalogue
from webhook.kube import Object, names, patch
from webhook.mutate.credentials import AUTHORITIES, CREDENTIALS, ENDPOINTS
from webhook.mutate.source import shown
from webhook.policy.model import Policy, PolicySet
from webhook.server.secret_text import SecretText, is_reference, is_secret_name, names_a_file

_ADDRESS = re.compile(r"(?:s3|file)://[^?@\s]+")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
_LITERAL = re.compile(r"""'([^'\\]*)'|"([^"\\]*)\"""")
# Names of fields that speak of secrets by name and hold none.
_FIELDS = frozenset({"secretName", "secretNamespace", "secretProviderClass", "key", "serviceAccountToken", "tokenPath"})
# Maps whose keys are names of labels and resources: they choose nodes and policies, and hold no secrets.
_PLAIN_MAPS = frozenset({"labels", "matchLabels", "nodeSelector", "limits", "requests"})
_PREFIX = 8  # characters of a secret by which it is found in a text that may have been cut
_SHORTEST = 4


def read_names(policies: PolicySet) -> frozenset[str]:
    """Names of variables, annotations and labels whose values these policies decide by, or that they set themselves."""
    known = CREDENTIALS | ENDPOINTS | AUTHORITIES | catalogue().variables.keys()
    return known.union(*map(_names_of, policies.policies))


def _names_of(policy: Policy) -> Iterator[str]:
    yield from (entry["name"] for entry in recipe(policy).environment)
    yield from (name for name, _ in policy.env)
    yield from (model.source.text for model in policy.models if model.source.kind in ("env", "annotation", "label"))
    expressions = [each.expression.source for some in (policy.conditions, policy.variables) for each in some]
    expressions += [m.source.expression.source for m in policy.models if m.source.expression is not None]
    if any("env" in text for text in expressions):
        # Which variable an expression compares cannot be known; which names it could mean can.
        yield from (one or other for text in expressions for one, other in _LITERAL.findall(text))


class Redaction:
    """Redacts the reviews of one process.

    `known` are names whose values are kept; `keep_values` keeps those of all variables. What looks like a secret is
    kept by neither.
    """

    def __init__(self, key: bytes, known: Iterable[str] = (), *, keep_values: bool = False) -> None:
        self._key = key
        self._known = frozenset(known)
        self._keep_values = keep_values
        self._innocent: set[str] = set()
        self._read: tuple[PolicySet | None, frozenset[str]] = (None, frozenset())

    def __call__(self, asked: Object, decision: Decision, policies: PolicySet) -> tuple[Object, Decision]:
        """The `request` of a review and the decision over it, redacted alike. Neither is edited.

        The patches are those that lead from the pod as it is kept to the pods as they are kept.
        """
        if self._read[0] is not policies:
            self._read = (policies, self._known | read_names(policies))
        sent = asked.get("object")
        pods = [pod for pod in (sent, decision.pod, decision.would_pod) if type(pod) is dict]
        sweep = _Sweep(SecretText(self._key, self._innocent), self._read[1], self._keep_values)
        sweep.clear = {text for pod in pods for text in _in_the_clear(pod) if sweep.text.clean(text) == text}
        sweep.text.found.clear()
        user = asked.get("userInfo")
        if type(user) is dict and "extra" in user:
            asked = {**asked, "userInfo": {key: value for key, value in user.items() if key != "extra"}}
        kept = sweep.walk(asked)
        pod, would_pod = (None if each is None else sweep.walk(each) for each in (decision.pod, decision.would_pod))
        sweep.quotable()
        before = kept.get("object") or {}
        return kept, replace(
            decision,
            patch=patch.diff(before, pod) if decision.patch and pod is not None else [],
            would_patch=patch.diff(before, would_pod) if decision.would_patch and would_pod is not None else [],
            pod=pod,
            would_pod=would_pod,
            policies=tuple(
                replace(each, reason=sweep.told(each.reason), conflicts=tuple(map(sweep.told, each.conflicts)))
                for each in decision.policies
            ),
            warnings=tuple(map(sweep.told, decision.warnings)),
            violations=tuple(map(sweep.told, decision.violations)),
            message=sweep.told(decision.message),
        )


class _Sweep:
    """One review. The parts that its pods share are looked at once, and shared again."""

    def __init__(self, text: SecretText, known: frozenset[str], keep_values: bool) -> None:
        self.text = text
        self.clear: set[str] = set()
        self._known = known
        self._keep_values = keep_values
        self._done: dict[int, Any] = {}
        self._cleaned: dict[str, str] = {}
        self._quotable: list[tuple[str, str]] = []

    def walk(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._clean(value)
        if kind is not dict and kind is not list:
            return value
        found = self._done.get(id(value))
        if found is None:
            found = self._object(value) if kind is dict else [self.walk(each) for each in value]
            self._done[id(value)] = found
        return found

    def _object(self, value: Object) -> Object:
        found: Object = {}
        for key, each in value.items():
            if key == "managedFields":  # often half of a pod, and no decision sees it
                continue
            if type(each) is list and key in _LISTS:
                found[key] = self._list(each, key)
            elif key == "annotations" and type(each) is dict:
                found[key] = {name: self._annotation(name, text) for name, text in each.items()}
            elif key in _PLAIN_MAPS and type(each) is dict:
                found[key] = {name: self.walk(text) for name, text in each.items()}
            elif type(each) is str and key not in _FIELDS and self._is_secret(key, each):
                found[key] = self.text.token(each)
            else:
                found[key] = self.walk(each)
        return found

    def _list(self, entries: list[Any], key: str) -> list[Any]:
        done = self._done.get(id(entries))
        if done is None:
            done = self._done[id(entries)] = _LISTS[key](self, entries)
        found: list[Any] = done
        return found

    def _env(self, entries: list[Any]) -> list[Any]:
        return [self._variable(entry) if type(entry) is dict else self.walk(entry) for entry in entries]

    def _variable(self, entry: Object) -> Object:
        name, value = entry.get("name"), entry.get("value")
        if type(value) is not str or type(name) is not str or self._may_stay(name, value):
            return {key: self.walk(each) for key, each in entry.items()}
        return {**{key: self.walk(each) for key, each in entry.items()}, "value": self.text.token(value)}

    def _may_stay(self, name: str, value: str) -> bool:
        if not value or is_reference(value):
            return True
        if self._is_secret(name, value) or self._clean(value) != value:
            return False
        return self._keep_values or name in self._known or value in self.clear or _ADDRESS.fullmatch(value) is not None

    def _is_secret(self, name: str, value: str) -> bool:
        return bool(value) and is_secret_name(name) and not names_a_file(name, value)

    def _headers(self, entries: list[Any]) -> list[Any]:
        return [self._header(entry) if type(entry) is dict else self.walk(entry) for entry in entries]

    def _header(self, entry: Object) -> Object:
        name, value = entry.get("name"), entry.get("value")
        found: Object = self.walk(entry)
        is_secret = type(name) is str and type(value) is str and self._is_secret(name, value)
        return {**found, "value": self.text.token(value)} if is_secret and type(value) is str else found

    def _words(self, words: list[Any]) -> list[Any]:
        found = []
        before = ""
        for word in words:
            if type(word) is not str:
                found.append(self.walk(word))
                continue
            flag, equals, rest = word.partition("=")
            if before and not word.startswith("-") and not is_reference(word):
                found.append(self.text.token(word))
            elif equals and rest and is_secret_name(flag) and not is_reference(rest) and " " not in flag:
                found.append(f"{flag}={self.text.token(rest)}")
            else:
                found.append(self._clean(word))
            before = word if _FLAG.fullmatch(word) and is_secret_name(word) else ""
        return found

    def _annotation(self, name: str, text: Any) -> Any:
        if type(text) is not str:
            return self.walk(text)
        if name == names.ANNOTATION_LAST_APPLIED:  # the whole object once more: no decision reads it
            return self.text.token(text)
        if name not in self._known and self._is_secret(name, text):
            return self.text.token(text)
        return self._clean(text)

    def _clean(self, text: str) -> str:
        found = self._cleaned.get(text)
        if found is None:
            found = self._cleaned[text] = self.text.clean(text)
        return found

    def quotable(self) -> None:
        """Make ready for `told`: by now every secret of the pods was found."""
        found = sorted(self.text.found.items(), key=lambda pair: len(pair[0]), reverse=True)
        self._quotable = [
            (spelling, token)
            for secret, token in found
            for spelling in {secret, shown(secret)[1:-1].removesuffix("...")}
        ]

    def told(self, text: str) -> str:
        """A sentence of ours without the secrets of the pod that it may quote, whole or cut."""
        if text:
            for spelling, token in self._quotable:
                if spelling[:_PREFIX] in text:
                    text = _without(text, spelling, token)
        return self.text.clean(text)


def _without(text: str, secret: str, token: str) -> str:
    if len(secret) < _PREFIX:  # a word of its own, or quoted where it is a letter or two
        around = r"(?<!\w){}(?!\w)" if len(secret) >= _SHORTEST else r"""(?<=["']){}(?=["'])"""
        return re.sub(around.format(re.escape(secret)), token, text)
    start = text.find(secret[:_PREFIX])
    while start >= 0:
        end = start + _PREFIX
        while end < len(text) and end - start < len(secret) and text[end] == secret[end - start]:
            end += 1
        text = f"{text[:start]}{token}{text[end:]}"
        start = text.find(secret[:_PREFIX], start + len(token))
    return text


def _in_the_clear(pod: Object) -> Iterator[str]:
    """What the pod says elsewhere than in variables: there is nothing to hide in a value that says the same."""
    metadata, spec = ({**each} if type(each := pod.get(part)) is dict else {} for part in ("metadata", "spec"))
    for field in ("annotations", "labels"):
        values = metadata.get(field)
        if type(values) is dict:
            yield from (text for name, text in values.items() if type(text) is str and not is_secret_name(name))
    for kind in ("initContainers", "containers"):
        containers = spec.get(kind)
        for container in containers if type(containers) is list else ():
            if type(container) is dict:
                yield from _words_in_the_clear(container)


def _words_in_the_clear(container: Object) -> Iterator[str]:
    args, mounts = container.get("args"), container.get("volumeMounts")
    before = ""
    for word in args if type(args) is list else ():
        if type(word) is str:
            flag, _, rest = word.partition("=")
            if not is_secret_name(flag) and not is_secret_name(before):
                yield from (word, rest)
            before = flag
    for mount in mounts if type(mounts) is list else ():
        if type(mount) is dict and type(path := mount.get("mountPath")) is str:
            yield path


_LISTS = {
    "env": _Sweep._env,  # noqa: SLF001  our own class
    "httpHeaders": _Sweep._headers,  # noqa: SLF001  our own class
    "args": _Sweep._words,  # noqa: SLF001  our own class
    "command": _Sweep._words,  # noqa: SLF001  our own class
}
