"""Findings as SARIF 2.1.0 (OASIS), which code scanning services take.

GitHub drops a whole file in which one result has no place, so each has one; and it closes an alert only if its rule is
among those that ran, so all rules are listed, found or not.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from webhook import __version__
from webhook.cli.findings import Findings, anchor
from webhook.cli.render import json_text
from webhook.lint.lint import CODES
from webhook.policy.problem import CODES as READING_CODES
from webhook.policy.problem import Problem

_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
_ROOT: Final = "%SRCROOT%"


def sarif_text(findings: Findings) -> str:
    """Return one run with every finding; those that comments silence are there too, as suppressed, with the reason."""
    rules = _rules()
    index = {rule["id"]: position for position, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results = [_result(each, index, seen) for each in findings.problems]
    for ignored in findings.ignored:
        result = _result(ignored.problem, index, seen)
        result["suppressions"] = [{"kind": "inSource", "justification": _clean(ignored.reason)}]
        results.append(result)
    driver = {
        "name": "warmpod",
        "version": __version__,
        "informationUri": "https://github.com/warmpod/warmpod",
        "rules": rules,
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json_text(
        {
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        }
    )


def _rules() -> list[dict[str, Any]]:
    meanings: dict[str, tuple[str, str]] = {code: ("error", text) for code, text in READING_CODES.items()}
    meanings |= {code: (severity, text) for code, (severity, text) in CODES.items()}
    return [
        {
            "id": code,
            "shortDescription": {"text": text},
            "helpUri": anchor(code),
            "defaultConfiguration": {"level": _LEVELS[severity]},
        }
        for code, (severity, text) in sorted(meanings.items())
    ]


def _result(problem: Problem, index: Mapping[str, int], seen: Counter[str]) -> dict[str, Any]:
    field = f"{problem.path}: " if problem.path else ""
    hint = f" Hint: {problem.hint}" if problem.hint else ""
    region = {"startLine": problem.line, "startColumn": problem.column}
    return {
        "ruleId": problem.code,
        "ruleIndex": index[problem.code],
        "level": _LEVELS[problem.severity],
        "message": {"text": _clean(f"{field}{problem.message}.{hint}")},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(problem.file), "region": region}}],
        "partialFingerprints": {"warmpodFinding/v1": _fingerprint(problem, seen)},
    }


def _artifact(file: str) -> dict[str, str]:
    """Where the file lies from the working directory, which a checkout's root should be; else its own address."""
    path = Path(file).absolute()
    try:
        relative = path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return {"uri": path.as_uri()}
    return {"uri": quote(_clean(relative.as_posix())), "uriBaseId": _ROOT}


def _fingerprint(problem: Problem, seen: Counter[str]) -> str:
    """What stays the same when lines move: code, file, field and words; and the how many-th it is of these."""
    text = "\n".join((problem.code, Path(problem.file).as_posix(), problem.path, problem.message))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    seen[digest] += 1
    return f"{digest}:{seen[digest]}"


def _clean(text: str) -> str:
    """Text without what JSON readers refuse: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
