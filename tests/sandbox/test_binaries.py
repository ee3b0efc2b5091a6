"""Where programs are looked for, and what a person is told when they are not there."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from webhook.sandbox import binaries
from webhook.sandbox.binaries import KUBERNETES, OTHERS, MissingBinaries

ALL = (*KUBERNETES, *OTHERS)
ENVTEST = ("kube-apiserver", "etcd", "kubectl")


def fill(directory: Path, *names: str, mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(mode)
    return directory


def homes(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path / "data"), "PATH": "", **more}


def envtest_directory(tmp_path: Path, release: str) -> Path:

    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return tmp_path / "data" / "kubebuilder-envtest" / "k8s" / f"{release}-linux-{architecture}"


def test_each_place_is_looked_at_in_its_turn(tmp_path: Path) -> None:
    on_path = fill(tmp_path / "bin", *ALL)
    environment = homes(tmp_path, PATH=f"{tmp_path / 'none'}:{on_path}", KUBEBUILDER_ASSETS=str(tmp_path / "assets"))
    assert binaries.find(None, environment).etcd == on_path / "etcd"
    stored = fill(envtest_directory(tmp_path, "1.36.0"), *ALL)
    assert binaries.find(None, environment).etcd == stored / "etcd"
    built = fill(tmp_path / "cache" / "warmpod" / "control-plane", *ALL)
    assert binaries.find(None, environment).etcd == built / "etcd"
    configured = fill(tmp_path / "assets", *ALL)
    assert binaries.find(None, environment).etcd == configured / "etcd"
    named = fill(tmp_path / "named", *ALL)
    assert binaries.find(named, environment).etcd == named / "etcd"


def test_the_newest_release_of_the_envtest_store_wins(tmp_path: Path) -> None:
    for release in ("1.9.0", "1.36.2", "1.36.10"):
        fill(envtest_directory(tmp_path, release), *ALL)
    assert binaries.find(None, homes(tmp_path)).kwok.parent.name.startswith("1.36.10-")


def test_the_three_servers_come_from_one_place(tmp_path: Path) -> None:
    """Envtest has an API server without a scheduler: another release's scheduler must not join it."""
    environment = homes(tmp_path, KUBEBUILDER_ASSETS=str(fill(tmp_path / "envtest", *ENVTEST)))
    built = fill(tmp_path / "cache" / "warmpod" / "control-plane", *ALL)
    found = binaries.find(None, environment)
    assert {found.kube_apiserver.parent, found.kube_scheduler.parent, found.kube_controller_manager.parent} == {built}
    assert found.kubectl.parent == built, "kubectl beside the API server fits it best"


def test_kwok_may_come_from_elsewhere(tmp_path: Path) -> None:
    servers = fill(tmp_path / "assets", *KUBERNETES, "etcd", "kubectl")
    on_path = fill(tmp_path / "bin", "kwok")
    found = binaries.find(None, homes(tmp_path, KUBEBUILDER_ASSETS=str(servers), PATH=str(on_path)))
    assert found.kwok == on_path / "kwok"
    assert found.etcd == servers / "etcd"


def test_assets_are_taken_at_their_word(tmp_path: Path) -> None:
    fill(tmp_path / "cache" / "warmpod" / "control-plane", *ALL)
    with pytest.raises(MissingBinaries) as caught:
        binaries.find(fill(tmp_path / "named", *ENVTEST), homes(tmp_path))
    assert set(caught.value.names) == {*KUBERNETES, "kwok"}


def test_what_is_missing_is_named_with_the_places_and_the_way_out(tmp_path: Path) -> None:
    assets = fill(tmp_path / "assets", *KUBERNETES, "kubectl")
    with pytest.raises(MissingBinaries) as caught:
        binaries.find(None, homes(tmp_path, KUBEBUILDER_ASSETS=str(assets), PATH="/nowhere"))
    assert caught.value.names == ("etcd", "kwok")
    assert str(caught.value) == (
        "not found: etcd, kwok. Looked in:\n"
        f"    KUBEBUILDER_ASSETS: {assets}\n"
        f"    warmpod's cache: {tmp_path}/cache/warmpod/control-plane\n"
        "    the directories of PATH\n" + binaries.HOW_TO_GET
    )
    assert "warmpod sandbox build" in binaries.HOW_TO_GET


def test_a_file_that_cannot_be_executed_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(MissingBinaries):
        binaries.find(fill(tmp_path / "assets", *ALL, mode=0o644), homes(tmp_path))


def test_the_working_directory_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fill(tmp_path / "here", *ALL))
    with pytest.raises(MissingBinaries):
        binaries.find(None, homes(tmp_path, PATH=".:"))


@pytest.mark.parametrize("configured", ["", "relative/cache"])
def test_a_cache_home_that_is_not_absolute_is_ignored(configured: str) -> None:
    assert binaries.built({"XDG_CACHE_HOME": configured}) == Path.home() / ".cache" / "warmpod" / "control-plane"
