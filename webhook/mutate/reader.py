"""What reads the weights in a container, as far as its command line and its image tell."""

from __future__ import annotations

from webhook.clients.programs import clients_of
from webhook.cost.volume import Reader
from webhook.kube import Object
from webhook.kube import pod as pods

# vLLM's LoadFormat (vllm/config.py); SGLang has the flag and `auto`, too. Others read in ways of their own.
_LOAD_FORMAT = "--load-format"
_FORMATS = {
    "auto": Reader.SAFETENSORS,
    "safetensors": Reader.SAFETENSORS,
    "runai_streamer": Reader.STREAMER,
    "runai_streamer_sharded": Reader.STREAMER,
}
# vLLM's and SGLang's ways to have the stock loader read its files in place of mapping them.
_STRATEGY, _READING = "--safetensors-load-strategy", frozenset({"eager", "prefetch"})
_NO_MAPPING = "--weight-loader-disable-mmap"
_STOCK = frozenset({"vllm", "sglang", "huggingface-hub"})


def reader_of(container: Object) -> Reader:
    """What brings a model's weights into the process of this container."""
    clients = clients_of(container) or frozenset[str]()
    if "triton-server" in clients and "vllm" not in clients:
        return Reader.TRITON
    chosen = pods.arg_value(container, _LOAD_FORMAT)
    if chosen is not None and _FORMATS.get(chosen) is not Reader.SAFETENSORS:
        return _FORMATS.get(chosen, Reader.UNKNOWN)
    if _reads(container):
        return Reader.PREFETCH
    return Reader.SAFETENSORS if chosen is not None or clients & _STOCK else Reader.UNKNOWN


def _reads(container: Object) -> bool:
    if pods.arg_value(container, _STRATEGY) in _READING:
        return True
    words = (container.get(field) for field in ("command", "args"))
    return any(type(each) is list and _NO_MAPPING in each for each in words)
