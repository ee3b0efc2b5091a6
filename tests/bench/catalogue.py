"""Hold the catalogue of S3 clients to botocore's own tables: every variable and setting, its clients and its type.

    uv pip install -r requirements/bench.txt && .venv/bin/python tests/bench/catalogue.py

No benchmark, but it needs what only the bench group installs: botocore would hold back other packages of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import botocore
from botocore import configprovider

from webhook.clients.catalogue import catalogue


def faults() -> Iterator[str]:
    """What botocore reads that the catalogue does not know, or knows otherwise."""
    known = catalogue()
    for key, variables, _default, convert in configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        for name in variables if isinstance(variables, list) else filter(None, [variables]):
            variable = known.variables.get(name)
            if variable is None or "botocore" not in variable.clients:
                yield f"{name}: botocore reads it"
            elif variable.type is None:
                yield f"{name}: it has no type"
            elif getattr(convert, "__name__", "") == "ensure_boolean" and variable.type.words != ("true", "false"):
                yield f'{name}: to botocore only "true" is true'
            elif convert is int and variable.type.kind != "integer":
                yield f"{name}: an integer to botocore"
        if key is not None and key not in known.settings:
            yield f"setting {key}: botocore reads it"
    for key in configprovider.DEFAULT_S3_CONFIG_VARS:
        if f"s3.{key}" not in known.settings:
            yield f"setting s3.{key}: botocore reads it"


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or f"botocore {botocore.__version__}: all of it is in the catalogue")
    sys.exit(bool(found))
