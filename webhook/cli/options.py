"""Options as every command declares them: each one has its environment twin, and `--help` shows it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from webhook import __version__

if TYPE_CHECKING:
    from webhook.kube.accelerator import Accelerators

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
    _complete_paths(attributes)
    return click.option(*declarations, envvar=twin or f"WARMPOD_{name}", show_envvar=True, **attributes)


def argument(*declarations: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """`click.argument`, whose paths a shell completes."""
    _complete_paths(attributes)
    return click.argument(*declarations, **attributes)


def _complete_paths(attributes: dict[str, Any]) -> None:
    """Let shells complete what is called DIR, FILE or PATH, whether or not click is told that it is a path."""
    wanted = _PATHS.get(str(attributes.get("metavar", "")).rstrip("."))
    if wanted is not None:
        attributes.setdefault("shell_complete", wanted)


def _paths(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        del ctx, param
        return [CompletionItem(incomplete, type=kind)]

    return complete


_PATHS = {"DIR": _paths("dir"), "FILE": _paths("file"), "PATH": _paths("file")}


def examples(*lines: str) -> str:
    """The epilog of a command's help: command lines to start from, as they are typed."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


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


def accelerator_options(function: Decorated) -> Decorated:
    """What counts as an accelerator: `accelerators` and `device_classes`, for `accelerators_of`."""
    resources = option(
        "--accelerators", multiple=True, metavar="PATTERN", help="Resource name that marks a GPU pod; * is any text."
    )
    classes = option(
        "--device-classes", multiple=True, metavar="PATTERN", help="DeviceClass that marks a GPU pod; * is any text."
    )
    return resources(classes(function))


def accelerators_of(patterns: Sequence[str], device_classes: Sequence[str]) -> Accelerators:
    """What the two options mean: every known one where nothing is given."""
    from webhook.kube.accelerator import DEFAULT_DEVICE_CLASSES, DEFAULT_PATTERNS, Accelerators

    return Accelerators(patterns or DEFAULT_PATTERNS, device_classes or DEFAULT_DEVICE_CLASSES)


def log_options(function: Decorated) -> Decorated:
    """How a process logs: `log_format` and `log_level`."""
    form = option(
        "--log-format", type=click.Choice(["json", "text"]), default="json", help="Form of the log on stderr."
    )
    level = option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Least level."
    )
    return form(level(function))
