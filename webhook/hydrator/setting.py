"""What is the same for all models of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from webhook.hydrator.cache import Pod, this_pod
from webhook.hydrator.progress import Display
from webhook.hydrator.request import Effort, Request, Store
from webhook.hydrator.words import Voice


class Setting(NamedTuple):
    """How to reach the store, how hard to try, to whom to speak, and for which pod."""

    store: Store
    effort: Effort
    environ: Mapping[str, str]
    voice: Voice
    display: Display
    pod: Pod


def setting_of(request: Request, environ: Mapping[str, str], voice: Voice) -> Setting:
    """The setting of a run."""
    return Setting(request.store, request.effort, environ, voice, Display(voice, request.progress), this_pod(environ))
