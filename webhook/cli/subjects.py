"""The pods that a preview is about, and the facts around them: from manifests, or from a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from webhook.admission.decision import Facts
from webhook.cli import live
from webhook.cli.documents import Document, read_all
from webhook.cli.errors import CouldNotRun
from webhook.cli.previews import Review, reviews
from webhook.cli.world import installation, read_inventory
from webhook.kube import Object
from webhook.kube.recreated import recreated
from webhook.policy.model import PolicySet

if TYPE_CHECKING:
    from webhook.inventory.model import Inventory
    from webhook.sources.kube_api import KubeApi


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster, by the options of the command line."""

    kubeconfig: Path | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Subjects:
    """Documents with pods. `installed` is None where no cluster was asked; `labels` are those it told, by namespace."""

    documents: list[Document]
    installed: live.Installed | None = None
    labels: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)

    def installed_policies(self) -> PolicySet:
        """The policies of the cluster. Raises CouldNotRun where they cannot be had."""
        found = self.installed
        if found is None:
            raise CouldNotRun("no policies", hint="name their directory with --policies")
        if found.policies is None:
            raise CouldNotRun(
                f"the policies of the cluster cannot be read: {found.why}", hint="name their directory with --policies"
            )
        return found.policies

    def inventory(self, file: str, cluster: Cluster) -> Inventory | None:
        """The snapshot in a file, else what the cluster holds where one is asked. Raises CouldNotRun for a bad file."""
        if file or self.installed is None:
            return read_inventory(file)
        return live.stock(cluster.kubeconfig, cluster.context, self.installed.accelerators)

    def facts(
        self, policies: PolicySet, inventory: Inventory | None, *, hydrator_image: str, level: str, said: frozenset[str]
    ) -> Facts:
        """The facts of every review. `said` names the two options that a person gave; the cluster says the others."""
        if self.installed is None:
            return installation(policies, hydrator_image, level, inventory)
        return live.facts_of(
            self.installed,
            policies,
            inventory,
            hydrator_image=hydrator_image if "hydrator_image" in said else None,
            level=level if "default_pod_security_level" in said else None,
        )

    def reviews(self, facts: Facts, namespace: str, labels: Mapping[str, str] | None) -> list[Review]:
        """Every pod, in order; with the labels given, else those of the input, of the cluster, of the inventory."""
        known = {**facts.inventory.namespaces, **self.labels}
        return list(reviews(self.documents, namespace=namespace, labels=labels, known=known))


def gathered(files: tuple[str, ...], objects: tuple[str, ...], namespace: str, cluster: Cluster) -> Subjects:
    """Read the manifests, and find the objects (`KIND/NAME`) in the cluster. Raises CouldNotRun."""
    documents = read_all(files)
    if not objects:
        return Subjects(documents)

    async def look(api: KubeApi) -> tuple[list[Object], Mapping[str, str] | None, live.Installed]:
        from webhook.sources.kube_api.resources import find

        found = [await find(api, text, namespace) for text in objects]
        return found, await live.labels_of(api, namespace), await live.installed(api)

    found, labels, installed = live.asked(cluster.kubeconfig, cluster.context, look)
    for text, one in zip(objects, found, strict=True):
        content = recreated(one) if one.get("kind") == "Pod" else one
        documents.append(Document(text, 0, content))
    return Subjects(documents, installed, {namespace: labels})
