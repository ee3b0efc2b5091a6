"""The options of `warmpod hydrate`, as a table: the parser, its help, the environment and the documents agree by it."""

from __future__ import annotations

from typing import NamedTuple

from webhook.hydrator.report import DEFAULT_LOG


class Option(NamedTuple):
    """One option. `kind`: `text`, `many` (given again and again), `flag`, or how its text is read.

    `of_model`: it belongs to the one model of `warmpod hydrate SOURCE`; with --model it is a key of the JSON.
    """

    flag: str
    kind: str
    metavar: str
    help: str
    group: str
    default: str = ""
    of_model: bool = False
    twin: str = ""

    @property
    def name(self) -> str:
        """Name of the value: `max_size`."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that says the same."""
        return self.twin or f"WARMPOD_{self.name.upper()}"


WHAT, WHERE, HOW, WORDS = "what to bring", "the object store", "how fast", "what is said"

OPTIONS = (
    Option("--cache", "text", "DIR", "The cache: a directory that the pods of the node share.", WHAT, of_model=True),
    Option("--directory", "directory", "HEX", "16 hex digits: the model's own directory in it. Default: by its source.",
           WHAT, of_model=True),
    Option("--tenant", "tenant", "NS", "Namespace whose pods may use the cache; empty: everyone's. Told in the report.",
           WHAT, of_model=True),
    Option("--include", "many", "GLOB", "Only files whose path or last name matches. Repeatable.", WHAT, of_model=True),
    Option("--exclude", "many", "GLOB", "No files whose path or last name matches. Repeatable.", WHAT, of_model=True),
    Option("--prefer-safetensors", "flag", "", "Leave out *.bin, *.pt and the like where safetensors lie beside them.",
           WHAT, of_model=True),
    Option("--keep-free", "keep_free", "SHARE", "How much of the disk is never filled: 20%, or 50Gi.", WHAT, "20%",
           of_model=True),
    Option("--max-size", "size", "SIZE", "The most that the cache may hold, such as 500Gi. Default: the disk decides.",
           WHAT, of_model=True),
    Option("--trust-cache", "flag", "", "Take the version that is there without asking the source for right or change.",
           WHAT, of_model=True),
    Option("--lease", "duration", "TIME", "How long a pod that was given a model keeps it from eviction.", WHAT, "24h",
           of_model=True),
    Option("--page-cache", "flag", "", "Write through the page cache: for models that are read at once, from memory.",
           WHAT, of_model=True),
    Option("--on-failure", "on_failure", "Retry|Continue", "Continue: exit 0 although the model could not be brought.",
           WHAT, "Retry", of_model=True),
    Option("--model", "models", "JSON", "All of the above for one model, as the webhook writes it. Repeatable.", WHAT,
           twin="WARMPOD_HYDRATE_MODEL"),
    Option("--verify", "text", "DIR", "Bring nothing; compare every file below DIR with its manifest.", WHAT),
    Option("--endpoint-url", "text", "URL", "Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else that of the region.",
           WHERE),
    Option("--region", "text", "NAME", "Default: AWS_REGION, AWS_DEFAULT_REGION, else that of the profile.", WHERE),
    Option("--path-style", "flag", "", "https://host/bucket/key. Default: for addresses and localhost only.", WHERE),
    Option("--request-payer", "flag", "", "Pay for what is read from a bucket where the requester pays.", WHERE),
    Option("--no-sign-request", "flag", "", "Ask without credentials, for public buckets.", WHERE),
    Option("--ca-bundle", "text", "FILE", "Authorities (PEM). Default: AWS_CA_BUNDLE, SSL_CERT_FILE.", WHERE),
    Option("--fips", "flag", "", "FIPS endpoints.", WHERE),
    Option("--io", "io", "auto|direct|buffered", "How files are written: past the page cache, or through it.", HOW,
           "auto"),
    Option("--bandwidth", "rate", "RATE", "What the network can do, such as 25Gbps: sizes processes and connections.",
           HOW),
    Option("--max-rate", "rate", "RATE", "Take no more than this, such as 500MB/s.", HOW),
    Option("--processes", "count", "N", "Worker processes. Default: by CPU limit, bandwidth and memory.", HOW),
    Option("--connections", "connections", "N", "Connections of each process, at most 10. Default likewise.", HOW),
    Option("--termination-log", "text", "PATH", "Where the last words go. Default where there is one: " + DEFAULT_LOG,
           WORDS),
    Option("--progress", "progress", "auto|bar|lines|none", "A bar on a terminal, a line every 5 s elsewhere.", WORDS,
           "auto"),
)  # fmt: skip  # a row an option, as a table is read
