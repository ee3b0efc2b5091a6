"""What the API server itself counts of our webhooks: https://kubernetes.io/docs/reference/instrumentation/metrics/.

Of several API servers behind one address only one answers, and each counts for itself.
"""

from __future__ import annotations

import re

from webhook.doctor.evidence import Barred, Counters, Failed, Look, Seen
from webhook.doctor.session import Call, send
from webhook.kube import names
from webhook.sources.kube_api import ApiFailure, KubeApi

FAIL_OPEN = "apiserver_admission_webhook_fail_open_count"
REJECTIONS = "apiserver_admission_webhook_rejection_count"
CALLS = "apiserver_admission_webhook_request_total"

_LINE = re.compile(r"^(\w+)\{([^}]*)\} ([0-9.e+]+)", re.MULTILINE)
_NAME = re.compile(r'(?:^|,)name="([^"]*)"')


async def read(api: KubeApi) -> Look[Counters]:
    """Ask for them."""
    try:
        answer = await send(api, Call("read the API server's metrics", "/metrics", accept="*/*", seconds=30.0))
    except ApiFailure as failure:
        return Failed(str(failure))
    if answer.status == 403:
        return Barred("get the API server's /metrics")
    if answer.status != 200:
        return Failed(f"the API server answers /metrics with HTTP {answer.status}: {answer.message}")
    return Seen(parse(answer.text))


def parse(text: str) -> Counters:
    """The sums over our webhooks of an exposition in Prometheus' text format."""
    sums = dict.fromkeys((FAIL_OPEN, REJECTIONS, CALLS), 0.0)
    for name, labels, value in _LINE.findall(text):
        if name in sums and (hook := _NAME.search(labels)) and is_ours(hook[1]):
            sums[name] += float(value)
    return Counters(round(sums[FAIL_OPEN]), round(sums[REJECTIONS]), round(sums[CALLS]))


def is_ours(hook: str) -> bool:
    """Whether a webhook of this name is one of Warmpod's."""
    return hook.endswith(f".{names.DOMAIN}")
