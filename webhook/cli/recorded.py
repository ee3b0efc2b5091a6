"""Pods' creations as `warmpod webhook --record` wrote them down, for the commands that count them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from webhook.admission.decision import Decision
from webhook.cli.errors import CouldNotRun
from webhook.cli.progress import tracked
from webhook.cli.unreadable import Unreadable
from webhook.kube import Object
from webhook.report.record import Recorded, UnreadableRecord, decided
from webhook.sources import records
from webhook.sources.records import Passed


class Creation(NamedTuple):
    """One pod as it was sent, and what was decided of it."""

    recorded: Recorded
    sent: Object
    decision: Decision


def creations(directory: Path, since: datetime | None, passed: Unreadable) -> Iterator[Creation]:
    """Each pod's creation once; dry runs made no pod. `passed` hears of what cannot be read. Raises CouldNotRun."""
    try:
        total = records.count(directory) if since is None else None
        for recorded in tracked(records.read(directory, since, passed), "records", total):
            request = recorded.request
            if request.object is None or request.dry_run or request.operation != "CREATE" or recorded.is_again:
                continue
            try:
                decision = decided(recorded)
            except UnreadableRecord as error:
                passed(Passed(Path(recorded.file), recorded.line, str(error)))
                continue
            yield Creation(recorded, request.object, decision)
    except records.UnreadableRecords as error:
        raise CouldNotRun(f"--records: {error}", hint="it is the directory of `warmpod webhook --record`") from error
