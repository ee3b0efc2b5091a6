"""The component that writes reports: the controller judges by what the webhook decides by."""

from __future__ import annotations

import pytest

from tests.manifests import rendered
from tests.manifests.rendered import Document
from webhook.cli import controller

pytestmark = pytest.mark.cluster

SHARED = ("WARMPOD_POLICIES", "WARMPOD_HYDRATOR_IMAGE", "WARMPOD_DEFAULT_POD_SECURITY_LEVEL", "WARMPOD_SNAPSHOT")


@pytest.mark.parametrize(
    "components", [("policy-reports",), ("git-sync", "policy-reports"), ("policy-reports", "git-sync")], ids="+".join
)
def test_controller_and_webhook_read_the_same(components: tuple[str, ...]) -> None:
    documents = rendered.composed(*components)
    ours, theirs = (rendered.variables(rendered.container(documents, name)) for name in ("controller", "webhook"))
    assert {name: ours[name] for name in SHARED} == {name: theirs[name] for name in SHARED}
    assert mounted(documents, "controller") == mounted(documents, "webhook")


def mounted(documents: list[Document], name: str) -> Document:
    """Where the policies are, and whether they may be written."""
    found = rendered.container(documents, name)["volumeMounts"]
    [mount] = [each for each in found if each["name"] == "policies"]
    assert mount["readOnly"]
    return dict(mount)


def test_what_it_says_is_what_the_controller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendered.container(rendered.composed("policy-reports"), "controller")
    for variable, value in rendered.variables(found).items():
        monkeypatch.setenv(variable, value)
    given = controller.command.make_context("controller", []).params
    assert given["policy_reports"]
    [mount] = [each for each in found["volumeMounts"] if each["name"] == "policies"]
    assert str(given["policies"]) == mount["mountPath"]


def test_no_reports_are_written_unless_asked() -> None:
    documents = rendered.composed()
    assert "WARMPOD_POLICY_REPORTS" not in rendered.variables(rendered.container(documents, "controller"))
    assert not [each for each in documents if "policy-reports" in each["metadata"]["name"]]
