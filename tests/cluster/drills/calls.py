"""What the API server itself counts of its calls to our webhook."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from webhook.sandbox.sandbox import Sandbox

HOOK = "pods.warmpod.dev"

_SAMPLE = re.compile(
    r"^apiserver_admission_webhook_(fail_open_count|rejection_count|request_total)\{(.*)\} (\S+)$", re.MULTILINE
)
_STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Calls:
    """Since the API server's start: calls in all, those it admitted without an answer, those that it rejected.

    `started` is when that was, in unix seconds.
    """

    made: int = 0
    failed_open: int = 0
    rejected: int = 0
    started: float = 0.0

    def __sub__(self, before: Calls) -> Calls:
        """What was counted since `before`; by another process of the API server, since its start."""
        if self.started != before.started:
            return self
        return replace(
            self,
            made=self.made - before.made,
            failed_open=self.failed_open - before.failed_open,
            rejected=self.rejected - before.rejected,
        )


def read(box: Sandbox, hook: str = HOOK) -> Calls:
    """The counters of one hook, by the API server's `/metrics`."""
    return parse(box.kubectl("get", "--raw", "/metrics").stdout, hook)


def parse(text: str, hook: str = HOOK) -> Calls:
    """The same from the text."""
    found = {"request_total": 0, "fail_open_count": 0, "rejection_count": 0}
    for metric, labels, value in _SAMPLE.findall(text):
        if dict(_LABEL.findall(labels))["name"] == hook:
            found[metric] += int(float(value))
    [started] = _STARTED.findall(text)
    return Calls(found["request_total"], found["fail_open_count"], found["rejection_count"], float(started))
