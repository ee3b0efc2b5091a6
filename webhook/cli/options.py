"""Options as every command declares them: each one has its environment twin, and `--help` shows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def option(*declarations: str, twin: str | None = None, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """`click.option` with its variable WARMPOD_<FLAG>, or `twin` where two commands mean different things."""
    flag = next(part for part in declarations if part.startswith("--"))
    name = re.split(r"[ /]", flag)[0].removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("show_default", attributes.get("default") not in (None, "", (), False))
    return click.option(*declarations, envvar=twin or f"WARMPOD_{name}", show_envvar=True, **attributes)
