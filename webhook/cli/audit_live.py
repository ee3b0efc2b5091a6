"""The pods of a live cluster as they would be created now, and what the policies would make of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from webhook.admission.decision import Facts
from webhook.kube import names
from webhook.kube import pod as pods
from webhook.policy.problem import Source
from webhook.report.judgement import Judgement
from webhook.report.workload import judgements
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.objects import CONFIG_MAPS, ObjectApi
from webhook.sources.kube_api.resources import workloads


def installed_policies(kubeconfig: Path | None, context: str | None) -> list[Source] | None:
    """The policy files in the ConfigMap of the installation; None where there is none. NoCluster, ApiFailure."""
    return asyncio.run(_installed_policies(kubeconfig, context))


def audit(
    kubeconfig: Path | None,
    context: str | None,
    facts: Facts,
    namespaces: Sequence[str],
    take: Callable[[Judgement], None],
) -> None:
    """Give `take` a judgement for every workload and every pod that nobody made. NoCluster, ApiFailure."""
    asyncio.run(_audit(kubeconfig, context, facts, namespaces, take))


async def _installed_policies(kubeconfig: Path | None, context: str | None) -> list[Source] | None:
    async with KubeApi.connect(kubeconfig, context) as api:
        found = await ObjectApi(api.transport).find(CONFIG_MAPS, names.SYSTEM_NAMESPACE, names.POLICIES_CONFIG_MAP)
    if found is None:
        return None
    data = pods.mapping(found.get("data"))
    return [Source(key, text) for key, text in sorted(data.items()) if isinstance(text, str)]


async def _audit(
    kubeconfig: Path | None,
    context: str | None,
    facts: Facts,
    namespaces: Sequence[str],
    take: Callable[[Judgement], None],
) -> None:
    async with KubeApi.connect(kubeconfig, context) as api:
        async for one in workloads(api, list(namespaces) or None):
            for judgement in judgements(one, facts):
                take(judgement)
