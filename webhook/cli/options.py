"""Options as every command declares them: each one has its environment twin, and `--help` shows it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from webhook import __version__

#: What commands without a cluster put into the pods they show; installations give theirs by digest.
DEFAULT_HYDRATOR_IMAGE = f"warmpod:{__version__}"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """A range of numbers. `nan` and `inf` are none: floats to Python, and within every range to click."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click's; a usage error for what is not finite."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{found} is no number to reckon with", param, ctx)
        return found


def option(*declarations: str, twin: str | None = None, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """`click.option` with its variable WARMPOD_<FLAG>, or `twin` where two commands mean different things."""
    flag = next(part for part in declarations if part.startswith("--"))
    name = re.split(r"[ /]", flag)[0].removeprefix("--").replace("-", "_").upper()
    attributes.setdefault("show_default", attributes.get("default") not in (None, "", (), False))
    return click.option(*declarations, envvar=twin or f"WARMPOD_{name}", show_envvar=True, **attributes)


def facts_options(function: Decorated) -> Decorated:
    """The options by which an installation of Warmpod is set up, for commands that decide without one."""
    image = option(
        "--hydrator-image",
        default=DEFAULT_HYDRATOR_IMAGE,
        help="Image of the init container; empty turns hydration off.",
    )
    level = option(
        "--default-pod-security-level",
        type=click.Choice(["privileged", "baseline", "restricted"]),
        default="baseline",
        help="For namespaces without the label pod-security.kubernetes.io/enforce.",
    )
    return image(level(function))
