"""The tables of docs/when-it-helps.md, each with the words above it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.cost.cases import CASES, HYDRATED, LLAMA, SEVENTY, Case
from tests.cost.points import POINTS
from webhook.cost.delivery import compare
from webhook.cost.figures import Assumed, Figure, figures
from webhook.cost.hydration import array
from webhook.cost.ladder import COLD, EQUIPPED, RUNGS, STOCK, WARM
from webhook.cost.seconds import WORDS
from webhook.cost.start import start, swings
from webhook.cost.volume import Reader, Volume, VolumeKind
from webhook.cost.zone import zone_gain


def in_short() -> str:
    heads = (
        "workload", "instance type", STOCK.name, HYDRATED.name, COLD.name, EQUIPPED.name, WARM.name,
        "warmth saves, nodes as they come", "warmth saves, nodes well equipped",
    )  # fmt: skip
    rows = []
    for case in CASES:
        took = [case.climb(rung).seconds for rung in (STOCK, HYDRATED, COLD, EQUIPPED, WARM)]
        saved = [_saved(cold, took[4]) for cold in took[2:4]]
        rows.append((case.name, f"`{case.type}`", *(sec(each) for each in took), *saved))
    return f"""## In short

Seconds from the pod's making until it serves. Root volumes are gp3 as it comes; with SOCI, images lie on the instance
store. Where nodes are as they come, engines download by themselves, at a pace that was measured on a node of 5 Gb/s:
large nodes with better clients lose less. The last column is the fair one for who followed all advice already: what a
warm node saves after a fast pull and a parallel fetch.

{table(heads, rows)}"""


def _saved(cold: float, warm: float) -> str:
    saved = max(cold - warm, 0.0)
    return f"{sec(saved)} ({100 * saved / cold:.0f} %)"


def ways(case: Case) -> str:
    heads = ("way", "node", "image", "fetch", "load", "init", "seconds", "range", "limited most by")
    rows = []
    for rung in RUNGS:
        found = case.climb(rung)
        took = {each.name: each for each in found.phases}
        node = sum(took[name].seconds for name in ("provision", "boot") if name in took)
        parts = [f"{took[name].seconds:.0f}" if name in took else "-" for name in ("pull", "fetch", "load", "init")]
        bound = max(
            (each for each in found.phases if each.bound), key=lambda each: each.seconds, default=found.phases[-1]
        )
        rows.append(
            (
                rung.name,
                f"{node:.0f}" if node else "-",
                *parts,
                sec(found.seconds),
                f"{found.best:.0f} to {found.worst:.0f}",
                WORDS.get(bound.bound, "-"),
            )
        )
    return (
        f"## Every technique, one workload\n\n{case.name}: an image of {gb(case.workload.image)}, a model of "
        f"{gb(case.workload.model)}, on `{case.type}`. The range is where every figure at once is at its fast, or its "
        "slow, end.\n\n" + table(heads, rows)
    )


def mount() -> str:
    rows = []
    for case in (LLAMA, SEVENTY):
        node, disks = case.node, array(case.node.disks)
        for reader in (Reader.SAFETENSORS, Reader.PREFETCH, Reader.STREAMER, Reader.TRITON):
            for kind in (VolumeKind.MOUNTPOINT, VolumeKind.LUSTRE):
                cold, warm = (
                    compare(
                        case.workload.model,
                        reader,
                        network=node.network,
                        volume=Volume(kind),
                        from_s3=kind is VolumeKind.MOUNTPOINT,
                        warm=warm,
                        shared=True,
                        disk_read=disks.read,
                        disk_write=disks.write,
                        processes=case.workload.processes,
                        cpus=node.vcpus,
                    )
                    for warm in (False, True)
                )
                seconds = [sec(way.seconds) for way in (cold.mount, cold.hydrate, warm.hydrate)]
                rows.append(
                    (gb(case.workload.model), reader.value, kind.value, *seconds, cold.choice, _yes(cold.certain))
                )
    return (
        "## Mount or hydrate\n\n"
        f"The comparison behind `delivery: auto`, on `{LLAMA.type}` ({gb(LLAMA.workload.model)}, one process) and "
        f"`{SEVENTY.type}` ({gb(SEVENTY.workload.model)}, eight). A mount has to win by a tenth and by five seconds. "
        "On a node that holds the model, it is hydrated, for nothing is fetched. `certain`: it is also so where every "
        "figure is at its fast, and at its slow, end. A Lustre file system is counted as one of 600 MB/s unless "
        "`throughput` says more, and read by one node at a time.\n\n"
        "Each pod is counted as the only one that its node will see. Where nodes live long and a model starts on them "
        "again and again, compare the mount with the warm column, and write `delivery: hydrate`: who mounts by "
        "`auto` makes no node warm.\n\n"
        + table(
            ("model", "reader", "volume", "mount", "hydrate, cold", "hydrate, warm", "cold choice", "certain"), rows
        )
    )


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def zone() -> str:
    rows = [
        (gb(size), f"{zone_gain(size):.1f}", sec(zone_gain(size, mapped=True)))
        for size in (1_000_000_000, 16_400_000_000, 141_000_000_000)
    ]
    return (
        "## The own zone\n\n"
        "What reading within the zone of a file system or a directory bucket takes less than from another zone, in "
        "seconds. It is little for whoever asks for many parts at once, and much for a loader that waits for each page "
        "of a mounted file. What it saves in money is not in it.\n\n"
        + table(("model", "hydrator, streamer", "stock loader on a mount"), rows)
    )


def calibration() -> str:
    rows = []
    for point in POINTS:
        found = start(point.workload, point.node, point.techniques, Assumed(given=point.given)).seconds
        off = f"{100 * (found / point.published - 1):+.0f} %" if point.tolerance else "at most"
        rows.append(
            (point.name, point.source, f"{point.published:g}", f"{found:.0f}" if found >= 10 else f"{found:.1f}", off)
        )
    return (
        "## How far off\n\n"
        "Starts and parts of starts that others published, against the likely value of the model. Of the starts with "
        "SageMaker, 134 s of boot and engine are taken from customer A, and the first one's pull rate from its own "
        "break-down, which is known from copies of the announcement; figures that come from a single row of this table "
        "meet it by nature. The loads of the largest models are off most: loaders of several processes differ by a "
        "factor of two.\n\n"
        "Not in it: the pull of the hydrator's own image, scheduling and probes, waiting for capacity, "
        "throttling by registries, what other pods of the node do meanwhile, and a page cache that still holds the "
        "model.\n\n" + table(("what", "published by", "seconds", "model", "off"), rows)
    )


def sensitivity(case: Case) -> str:
    rows = [
        (f"`{each.name}`", sec(each.best), sec(each.worst))
        for each in swings(case.workload, case.node, STOCK.techniques)[:8]
    ]
    total = case.climb(STOCK).seconds
    return (
        "## Which figures matter\n\n"
        f"The {sec(total)} s of {case.name} on a {STOCK.name}, with one figure at a time at its fast and its slow end. "
        "Measure the first ones on your own machines and give them to `warmpod estimate --assume`; what images and "
        "models take on your nodes, the webhook learns by `--image-bytes-per-second` and "
        "`--model-bytes-per-second`.\n\n" + table(("figure", "fast", "slow"), rows)
    )


def all_figures() -> str:
    rows = [
        (f"`{each.name}`", *(_figure(each, value) for value in (each.low, each.likely, each.high)), each.grade.value,
         " ".join(part for part in (each.note, f"Source: {each.source}") if part))
        for each in figures().values()
    ]  # fmt: skip
    return (
        "## The figures\n\n"
        "`measured` by whom the source names, `documented` by a vendor, told in a `blog`, or `inferred` by us. They "
        "are in `webhook/cost/figures.json`; mend that file, not this page.\n\n"
        + table(("figure", "least", "likely", "most", "known how", "what it is, and where from"), rows)
    )


def _figure(figure: Figure, value: float) -> str:
    match figure.unit:
        case "bytes/s":
            return f"{value / 1e6:,.0f} MB/s" if value >= 10e6 else f"{value / 1e6:.1f} MB/s"
        case "s":
            return f"{value:g} s" if value >= 0.1 or value == 0 else f"{value * 1000:g} ms"
        case "bytes":
            return f"{value / 1e6:g} MB" if value >= 1e6 else f"{value / 1024:g} KiB"
        case "USD":
            return (
                f"{value * 1e9:g} USD a GB"
                if value < 1e-7 or figure.name != "price.get"
                else f"{value * 1e6:g} USD a million"
            )
        case "share":
            return f"{100 * value:g} %"
        case _:
            return f"{value:g} times"


def gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def sec(value: float) -> str:
    return f"{value:,.0f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
