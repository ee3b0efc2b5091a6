"""The recipes of manifests/eks, as their files have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

EKS = Path(__file__).parents[2] / "manifests" / "eks"
RECIPES = sorted(path.parent for path in EKS.glob("*/README.md"))
FILES = ("nodes.yaml", "storage.yaml")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, slower, where libyaml is not built in
_PATHS = {
    "EC2NodeClass": "/apis/karpenter.k8s.aws/v1/ec2nodeclasses",
    "NodePool": "/apis/karpenter.sh/v1/nodepools",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "Namespace": "/api/v1/namespaces",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
}


class Written(NamedTuple):
    """One document of a recipe, and where it stands."""

    recipe: str
    file: Path
    document: dict[str, Any]

    @property
    def path(self) -> str:
        """Where the API server takes such objects."""
        return _PATHS[self.document["kind"]].format(namespace=self.document["metadata"].get("namespace"))

    def __str__(self) -> str:
        return f"{self.recipe}/{self.document['kind']}"


def objects(recipe: Path) -> list[Written]:
    """What a recipe puts into the cluster by itself."""
    return [
        Written(recipe.name, file, document)
        for file in map(recipe.joinpath, FILES)
        if file.is_file()
        for document in yaml.load_all(file.read_text(encoding="utf-8"), Loader=_LOADER)
    ]


OBJECTS = [each for recipe in RECIPES for each in objects(recipe)]
