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
_STOCK = frozenset({"vllm", "sglang", "huggingface-hub"})


def reader_of(container: Object) -> Reader:
    """What brings a model's weights into the process of this container."""
    clients = clients_of(container) or frozenset[str]()
    if "triton-server" in clients and "vllm" not in clients:
        return Reader.TRITON
    chosen = pods.arg_value(container, _LOAD_FORMAT)
    if chosen is not None:
        return _FORMATS.get(chosen, Reader.UNKNOWN)
    return Reader.SAFETENSORS if clients & _STOCK else Reader.UNKNOWN
