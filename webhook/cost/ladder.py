"""Ways to start a pod, from how EKS nodes come to a node that holds everything: what tables compare."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from webhook.cost.figures import LIKELY, Assumed
from webhook.cost.situation import Engine, Fetch, Node, Pull, Techniques, Workload
from webhook.cost.start import Timeline, start
from webhook.cost.volume import Reader


class Rung(NamedTuple):
    """One way. `reader` is what it takes to go it, None where the workload's own will do."""

    name: str
    techniques: Techniques
    reader: Reader | None = None

    def climb(
        self, workload: Workload, node: Node, *, engine: Engine = Engine.COMPILE, assumed: Assumed = LIKELY
    ) -> Timeline:
        """The start of this workload on that node in this way. An `engine` that does not compile needs no cache."""
        read = workload if self.reader is None else dataclasses.replace(workload, reader=self.reader)
        compiles = engine is Engine.COMPILE
        techniques = self.techniques if compiles else dataclasses.replace(self.techniques, engine=engine)
        return start(read, node, techniques, assumed)


STOCK = Rung("new node as EKS nodes come", Techniques())
COLD = Rung("cold node that is there", Techniques(new_node=False))
EQUIPPED = Rung(
    "cold node that is there, SOCI of Bottlerocket, hydrated",
    Techniques(Pull.SOCI_BOTTLEROCKET, Fetch.HYDRATE, new_node=False, nvme=True),
)
WARM = Rung("warm node: image and model", Techniques(Pull.PRESENT, Fetch.CACHED, new_node=False))
RUNGS = (
    STOCK,
    Rung("new node, SOCI of AL2023", Techniques(Pull.SOCI_AL2023, nvme=True)),
    Rung("new node, SOCI of Bottlerocket", Techniques(Pull.SOCI_BOTTLEROCKET, nvme=True)),
    Rung("new node, SOCI of Bottlerocket, hydrated", Techniques(Pull.SOCI_BOTTLEROCKET, Fetch.HYDRATE, nvme=True)),
    Rung(
        "new node, SOCI of Bottlerocket, streamed",
        Techniques(Pull.SOCI_BOTTLEROCKET, Fetch.STREAM, nvme=True),
        Reader.STREAMER,
    ),
    Rung("new node, snapshot and nothing more", Techniques(Pull.SNAPSHOT)),
    Rung("new node, snapshot at 300 MiB/s", Techniques(Pull.SNAPSHOT_300)),
    Rung("new node, snapshot with fast restore", Techniques(Pull.SNAPSHOT_FSR)),
    COLD,
    EQUIPPED,
    Rung("warm node: image", Techniques(Pull.PRESENT, new_node=False)),
    WARM,
    Rung(
        "warm node: image, model, streamer",
        Techniques(Pull.PRESENT, Fetch.CACHED, new_node=False),
        Reader.STREAMER,
    ),
    Rung(
        "warm node: image, model, streamer, compile cache",
        Techniques(Pull.PRESENT, Fetch.CACHED, Engine.COMPILED, new_node=False),
        Reader.STREAMER,
    ),
)
"""From the slowest that people start with to the fastest. Those with SOCI keep images on the instance store, if any."""
