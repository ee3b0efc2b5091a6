"""The component that records: the webhook may write there, and never so much that its pod is evicted."""

from __future__ import annotations

import pytest

from tests.manifests import rendered
from webhook.cli import webhook
from webhook.kube import quantity
from webhook.server.record_files import Recording

pytestmark = pytest.mark.cluster

VOLUME = "records"


def test_records_have_a_place_to_be_written_that_is_larger_than_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered.composed("record")
    found = rendered.container(documents, "webhook")
    for variable, value in rendered.variables(found).items():
        monkeypatch.setenv(variable, value)
    given = webhook.command.make_context("webhook", []).params
    [mount] = [each for each in found["volumeMounts"] if each["name"] == VOLUME]
    assert given["record"].is_relative_to(mount["mountPath"])
    assert "readOnly" not in mount
    [volume] = [each for each in rendered.pod_spec(documents)["volumes"] if each["name"] == VOLUME]
    room = quantity.parse(volume["emptyDir"]["sizeLimit"])
    # A file may be begun before the oldest goes, and an inventory kept.
    assert room >= given["record_keep"] + 2 * Recording(given["record"]).max_bytes
    assert rendered.pod_spec(documents)["securityContext"]["fsGroup"]


def test_nobody_else_sees_the_records() -> None:
    documents = rendered.composed("record")
    others = [each for each in rendered.pod_spec(documents)["containers"] if each["name"] != "webhook"]
    assert others
    assert all(VOLUME not in {mount["name"] for mount in each["volumeMounts"]} for each in others)


def test_nothing_is_recorded_unless_asked() -> None:
    assert "WARMPOD_RECORD" not in rendered.variables(rendered.container(rendered.composed(), "webhook"))
