"""Starting the control plane when something is in the way. Scripts stand in for its programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from webhook.sandbox.binaries import Binaries
from webhook.sandbox.cluster import ATTEMPTS, ControlPlane
from webhook.sandbox.process import DeadProcess

# Loses its port as often as it is told, then listens where --listen-client-urls says.
ETCD = f"""#!{sys.executable}
import pathlib, socket, sys, time
starts = pathlib.Path({{directory!r}}) / "starts"
count = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (count + 1))
if count < {{losses}}:
    sys.exit("listen tcp 127.0.0.1:1: bind: Address already in use")
url = next(part for part in sys.argv if part.startswith("--listen-client-urls="))
server = socket.create_server(("127.0.0.1", int(url.rpartition(":")[2])))
time.sleep(600)
"""
API_SERVER = "#!/bin/sh\necho 'this machine has no memory left'\nexit 1\n"


def programs(directory: Path, losses: int) -> Binaries:
    for name, text in {"etcd": ETCD.format(directory=str(directory), losses=losses), "server": API_SERVER}.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    etcd, other = directory / "etcd", directory / "server"
    return Binaries(etcd, other, other, other, other, other)


def start(directory: Path, losses: int) -> tuple[ControlPlane, str, list[str]]:
    said: list[str] = []
    plane = ControlPlane(programs(directory, losses), directory, progress=said.append)
    with pytest.raises(DeadProcess) as caught:
        plane.start()
    return plane, str(caught.value), said


def test_a_lost_port_is_tried_again_elsewhere(tmp_path: Path) -> None:
    plane, error, said = start(tmp_path, losses=1)
    assert "kube-apiserver ended with exit code 1" in error
    assert "this machine has no memory left" in error
    assert said.count("somebody took one of the ports; trying others") == 1
    assert plane.processes == (), "what was started is ended"


def test_ports_are_not_tried_for_ever(tmp_path: Path) -> None:
    _, error, said = start(tmp_path, losses=99)
    assert "etcd ended with exit code 1" in error
    assert said.count("starting etcd") == ATTEMPTS


def test_credentials_are_private(tmp_path: Path) -> None:
    plane, _, _ = start(tmp_path, losses=0)
    assert plane.kubeconfig.stat().st_mode & 0o077 == 0
    files = list((tmp_path / "credentials").iterdir())
    assert len(files) > 5
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
    assert (tmp_path / "credentials").stat().st_mode & 0o077 == 0
