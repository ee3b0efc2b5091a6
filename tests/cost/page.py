"""Writes docs/when-it-helps.md by the cost model: `python -m tests.cost.page > docs/when-it-helps.md`."""

from __future__ import annotations

import dataclasses
import sys
from textwrap import fill

from tests.cost.cases import EMBEDDING, FASTEST, HYDRATED, LLAMA, SEVENTY, SNAPSHOT, STREAMED
from tests.cost.tables import all_figures, calibration, gb, in_short, mount, sec, sensitivity, table, ways, zone
from webhook.cost.delivery import compare
from webhook.cost.fleet import break_even, dollars, fsr_volumes, mean, share_of_burst, share_of_lifetime
from webhook.cost.ladder import COLD, STOCK, WARM
from webhook.cost.seconds import line_rate, seconds
from webhook.cost.situation import Fetch, Pull, Techniques
from webhook.cost.start import start
from webhook.cost.storage import connections, express_gain, lustre_rate
from webhook.cost.volume import Reader, Volume, VolumeKind

_PART = 16 << 20  # of one request of the hydrator
_WIDTH = 200


def page() -> str:
    """Return the page."""
    parts = [_introduction(), in_short(), ways(LLAMA), _limits(), _many(), _money(), mount(), _storage(), zone()]
    parts += [calibration(), sensitivity(LLAMA), all_figures()]
    return _flowed("\n".join(parts))


def _introduction() -> str:
    rows = [
        ("provision, boot", "a node is launched and gets ready", "nothing; who finds a warm node with room needs none"),
        ("pull", "the image comes and is unpacked", "prefers nodes that hold it; [recipes](eks.md) make it faster"),
        ("fetch", "the model comes", "prefers nodes that hold it; else hydrates it, once for all pods of a node"),
        ("load", "a reader brings it into its processes", "nothing, but that the reader finds it on the node's disk"),
        ("init", "the engine compiles, captures graphs, starts", "nothing; a policy can mount a compile cache"),
    ]
    return f"""# When Warmpod helps, and when it does not

All numbers on this page are computed by `webhook/cost`, the model that also weighs placement and decides
`delivery: auto`; the page is written by `python -m tests.cost.page`. None was measured by us on AWS. They stand on the
published [figures](#the-figures) at the end, and [how far off](#how-far-off) says what they are worth. For your own
image, model and instance type there is [`warmpod estimate`](cli.md#warmpod-estimate).

A start has these phases. Warmpod shortens those where something may be there already:

{table(("phase", "what happens", "what Warmpod does"), rows)}"""


def _limits() -> str:
    warm = LLAMA.climb(WARM)
    took = {each.name: each.seconds for each in warm.phases}
    small = EMBEDDING.climb(COLD).seconds - EMBEDDING.climb(WARM).seconds
    one, eight = (
        start(LLAMA.workload, dataclasses.replace(LLAMA.node, disks=disks), WARM.techniques).seconds for disks in (1, 8)
    )
    read = start(dataclasses.replace(LLAMA.workload, reader=Reader.PREFETCH), LLAMA.node, WARM.techniques).seconds
    streaming = LLAMA._replace(workload=dataclasses.replace(LLAMA.workload, reader=Reader.STREAMER))
    streamed, hydrated = (streaming.climb(rung).seconds for rung in (STREAMED, HYDRATED))
    lazy = LLAMA.climb(SNAPSHOT).seconds
    return f"""## When it does not help

- **Small images and models.** {EMBEDDING.name} on `{EMBEDDING.type}`: a warm node saves {sec(small)} s. Images of less
  than 1 GiB are not even tracked.
- **A reader that is the limit.** The stock loader maps files and copies page by page. For {LLAMA.name} the warm start
  takes {sec(one)} s with one disk and {sec(eight)} s with eight. What helps is to read instead of mapping
  (`--safetensors-load-strategy prefetch` of vLLM: {sec(read)} s), or a streamer.
- **An engine that compiles.** Of the {sec(warm.seconds)} s of that warm start {sec(took["init"])} s are the engine's
  own start. With a compile cache and a streamer it takes {sec(LLAMA.climb(FASTEST).seconds)} s; Warmpod makes no such
  cache.
- **A streamer on its first start.** A pod with a hydrator waits until the whole model is on the disk, and only
  then pulls its own image: in a pod these come one after the other. With a streamer, reading S3 straight into memory
  takes {sec(streamed)} s and hydrating {sec(hydrated)} s. Hydrating has paid with the {_ordinal(_pays())} start on the
  same node.
- **A snapshot that is not initialized.** An image that is "there" on a volume from a snapshot still lies in S3. Without
  an initialization rate or fast restore {LLAMA.name} takes {sec(lazy)} s, longer than pulling it takes. Kubelet says
  that such an image is there, and nothing else is to be seen: Warmpod takes the node for warm.
- **Nothing shared.** A cache in an `emptyDir` dies with its pod: each start fetches again, and no node becomes warm.
- **A warm node without room.** The terms are preferences. One that fits on no warm node starts cold, as it
  would have.
"""


def _pays() -> int:
    """The start on one node from which hydrating has paid: reading the disk by a streamer against streaming from S3."""
    hydrated = dataclasses.replace(LLAMA.workload, reader=Reader.STREAMER)
    first = start(hydrated, LLAMA.node, Techniques(Pull.PRESENT, Fetch.HYDRATE, new_node=False)).seconds
    again = start(hydrated, LLAMA.node, Techniques(Pull.PRESENT, Fetch.CACHED, new_node=False)).seconds
    stream = start(hydrated, LLAMA.node, Techniques(Pull.PRESENT, Fetch.STREAM, new_node=False)).seconds
    return 1 + int(-(-break_even(first - stream, stream - again) // 1))


def _storage() -> str:
    rate = line_rate(100)
    express = [
        (what, f"{files:,}", sec(seconds(size, rate)), f"{express_gain(size, files=files, rate=rate):.1f}")
        for what, size, files in (
            ("16.4 GB of safetensors", 16_400_000_000, 8),
            ("141 GB of safetensors", 141_000_000_000, 30),
            ("10 GB of small files", 10_000_000_000, 100_000),
        )
    ]
    wanted = [(f"{gbps} Gb/s", f"{connections(line_rate(gbps))}") for gbps in (5, 25, 100, 200, 400)]
    hits, stored = (
        compare(
            LLAMA.workload.model, Reader.STREAMER, network=rate, volume=Volume(kind), from_s3=True, warm=False,
            shared=False,
        ).mount.seconds
        for kind in (VolumeKind.MOUNTPOINT_CACHE, VolumeKind.MOUNTPOINT)
    )  # fmt: skip
    return f"""## Faster storage

S3 Express One Zone is for many small objects and for short waits. Of a few large files hardly more comes in the same
time; here on a node of 100 Gb/s in the bucket's zone, 16 requests at once:

{table(("what", "objects", "seconds from S3 Standard, flowing", "seconds less from S3 Express"), express)}
Mountpoint's local cache is slower than S3 itself on such a node: a streamer reads {gb(LLAMA.workload.model)} in
{sec(hits)} s from the cache and in {sec(stored)} s from S3. It belongs to one Mountpoint pod and goes with it.

A file system gives what was bought, to all its readers together: 4.8 TiB of FSx for Lustre at 250 MB/s/TiB are
{lustre_rate(4.8, 250) / 1e9:.1f} GB/s, a tenth of what S3 gives each node of 100 Gb/s. S3 gives it by connections:

{table(("network", "connections that fill it"), wanted)}"""


def _many() -> str:
    cold, warm = LLAMA.climb(STOCK).seconds, LLAMA.climb(WARM).seconds
    lives = [
        (f"{starts}", f"{100 * share_of_lifetime(starts):.0f} %", sec(mean(cold, warm, share_of_lifetime(starts))))
        for starts in (1, 2, 5, 20)
    ]
    bursts = [
        (f"{pods}", "4", f"{100 * share_of_burst(pods, 4):.0f} %", sec(mean(cold, warm, share_of_burst(pods, 4))))
        for pods in (2, 4, 10, 50)
    ]
    snapshot = 128 << 30
    shared = [
        (
            f"{nodes}",
            sec(seconds(SEVENTY.workload.model * nodes, lustre_rate(2.4, 1000))),
            sec(seconds(SEVENTY.workload.model, line_rate(100))),
        )
        for nodes in (1, 4, 20)
    ]
    return f"""## Spot, scale-out, short lives

Warmth is a property of a node, and goes with it.

{LLAMA.name}, {STOCK.name} against {WARM.name}: the first start on a node is cold. With one pod for each node's life,
as where Spot takes nodes early or consolidation removes them, there is nothing to save by placement; a snapshot, SOCI
and a faster fetch help then.

{table(("starts for each node's life", "warm", "mean seconds"), lives)}
A burst finds as many warm places as are free, and all others need new nodes. Ten replicas at once are not ten times as
warm:

{table(("pods at once", "free warm places", "warm", "mean seconds"), bursts)}
New nodes all fetch at the same time. S3 gives each of them its own network; a file system gives all of them together
what it was bought with, here 2.4 GB/s (FSx for Lustre, 2.4 TiB of 1000 MB/s/TiB), for {gb(SEVENTY.workload.model)}:

{table(("nodes", "seconds from the file system, each", "seconds from S3 at 100 Gb/s, each"), shared)}
Fast Snapshot Restore serves a snapshot of {snapshot >> 30} GiB {fsr_volumes(snapshot, 0):.0f} times at once in a zone
and {fsr_volumes(snapshot) - fsr_volumes(snapshot, 0):.0f} times in each hour after; later volumes fill as they are
read.
Spot also moves between zones: a zone that is *required* for a file system takes capacity away, so zones are
preferred. An interruption takes the node, its images and its models; two minutes of notice save neither.
"""


def _money() -> str:
    size = SEVENTY.workload.model
    return f"""## What it costs

- One fetch of {gb(size)} from S3 in the region: {dollars(size, part=_PART):.4f} USD for its requests, and nothing for
  the bytes, through a gateway endpoint. Through a NAT gateway {dollars(size, part=_PART, nat=True):.2f} USD, each time.
- The same from a file system in another zone: about {dollars(size, part=0, between_zones=True):.2f} USD.
- An accelerator that waits is paid for. A start that is 100 s shorter is worth 100 s of its node's price.
- Karpenter takes a preference for a requirement first, and gives it up where no node it could launch meets it: each
  term is one more try of its solver. So a pod gets two at most.

Prices are those of us-east-1.
"""


def _flowed(text: str) -> str:
    """The page with its paragraphs and list items filled to one width, tables and headings left alone."""
    lines: list[str] = []
    for line in text.splitlines():
        begins = not line or line[0] in "|#" or line.startswith("- ")
        follows = bool(lines) and bool(lines[-1]) and lines[-1][0] not in "|#"
        if begins or not follows:
            lines.append(line)
        else:
            lines[-1] += f" {line.strip()}"
    filled = [
        line
        if line[:1] in {"", "|", "#"}
        else fill(
            line, _WIDTH, subsequent_indent="  " * line.startswith("- "), break_long_words=False, break_on_hyphens=False
        )
        for line in lines
    ]
    return "\n".join(filled) + "\n"


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


if __name__ == "__main__":
    sys.stdout.write(page())
