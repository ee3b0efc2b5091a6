from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import fault_store as faults
from tests import object_store as objects
from tests.fault_store import FaultProcess, FaultStore
from tests.object_store import ObjectStore


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """SeaweedFS: a real S3 server, which checks signatures."""
    with objects.running(tmp_path_factory.mktemp("object_store")) as store:
        yield store


@pytest.fixture(scope="session")
def fault_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProcess]:
    with faults.serving(tmp_path_factory.mktemp("fault_store")) as process:
        yield process


@pytest.fixture
def fault_store(fault_process: FaultProcess) -> FaultStore:
    """An S3-shaped server that misbehaves by script."""
    return fault_process.store()
