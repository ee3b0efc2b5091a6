"""The workloads of docs/when-it-helps.md, and the ways that its text names."""

from __future__ import annotations

from typing import NamedTuple

from webhook.cli.machine import machine_of
from webhook.cost.ladder import RUNGS, Rung
from webhook.cost.situation import Engine, Node, Workload
from webhook.cost.start import Timeline
from webhook.ec2.instances import instance


class Case(NamedTuple):
    """A workload on an instance type."""

    name: str
    type: str
    workload: Workload
    engine: Engine = Engine.COMPILE

    @property
    def node(self) -> Node:
        """The machine, its root volume as gp3 comes."""
        found = instance(self.type)
        assert found is not None
        return machine_of(found)

    def climb(self, rung: Rung) -> Timeline:
        """Its start in one way."""
        return rung.climb(self.workload, self.node, engine=self.engine)


_VLLM = 9_354_000_000
LLAMA = Case("Llama-3.1-8B on vLLM", "g6.2xlarge", Workload(_VLLM, 16_100_000_000))
EMBEDDING = Case(
    "embeddings of 0.4 GB, engine of 0.6 GB", "g4dn.xlarge", Workload(600_000_000, 440_000_000), Engine.EAGER
)
SEVENTY = Case("70B in bf16 on vLLM", "p5.48xlarge", Workload(_VLLM, 141_000_000_000, processes=8))
CASES = (
    EMBEDDING,
    Case("SDXL, PyTorch image", "g5.xlarge", Workload(6_000_000_000, 7_000_000_000), Engine.EAGER),
    LLAMA,
    Case("Qwen3-8B on LMI", "g5.2xlarge", Workload(17_700_000_000, 16_400_000_000)),
    Case("70B in bf16 on vLLM", "g6e.48xlarge", Workload(_VLLM, 141_000_000_000, processes=8)),
    SEVENTY,
    Case("671B in fp8 on SGLang", "p5en.48xlarge", Workload(14_000_000_000, 689_000_000_000, processes=8)),
)
_RUNG = {rung.name: rung for rung in RUNGS}
HYDRATED = _RUNG["new node, SOCI of Bottlerocket, hydrated"]
SOCI = _RUNG["new node, SOCI of Bottlerocket"]
STREAMED = _RUNG["new node, SOCI of Bottlerocket, streamed"]
SNAPSHOT = _RUNG["new node, snapshot and nothing more"]
FASTEST = RUNGS[-1]
