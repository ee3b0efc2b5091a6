"""Which taints a pod bears."""

from __future__ import annotations

import re
from typing import Any

from webhook.kube import Object, affinity

_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}")


def tolerates(toleration: Object, key: str, value: str, effect: str) -> bool:
    """Whether a toleration bears a taint, as k8s.io/api/core/v1 Toleration.ToleratesTaint says.

    `Lt` and `Gt` compare numbers: an API server without them refuses the pod.
    """
    if (toleration.get("effect") or effect) != effect or (toleration.get("key") or key) != key:
        return False
    operator, wanted = toleration.get("operator") or "Equal", toleration.get("value") or ""
    if operator == "Equal":
        return bool(wanted == value)
    if operator in ("Lt", "Gt"):
        have, bound = _decimal(value), _decimal(wanted)
        if have is None or bound is None:
            return False
        return have < bound if operator == "Lt" else have > bound
    return bool(operator == "Exists")


def _decimal(text: Any) -> int | None:
    return affinity.integer(text) if type(text) is str and _DECIMAL.fullmatch(text) else None
