from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.object_store import ObjectStore, running


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """SeaweedFS: a real S3 server, which checks signatures."""
    with running(tmp_path_factory.mktemp("object_store")) as store:
        yield store
