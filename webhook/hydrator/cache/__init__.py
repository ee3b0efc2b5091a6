"""What lies on a node's disk: versions of models, and who may read, write and delete them.

    store         a cache, and the models in it
    model         one model: hit, lock, room, publication
    layout        names and places; `tree` opens them by descriptor, following no link
    manifest      what a version consists of
    current, publication, removal     how versions come and go, each by one rename
    lock, progress, lease, pod        who writes, who waits, who was given what
    reservation, shortage, room, stock, eviction, openness     room, and what has to stay
    verification  `--verify`

Readers see a complete version or none, whenever a process is killed. What other pods of the tenant may have planted
here is never followed, waited for, or trusted.
"""

from webhook.hydrator.cache.model import Model
from webhook.hydrator.cache.pod import Pod, boot_id, this_pod
from webhook.hydrator.cache.progress import OwnersProgress
from webhook.hydrator.cache.room import KeepFree, parse_keep_free
from webhook.hydrator.cache.stock import Held, Reservation
from webhook.hydrator.cache.store import Cache

__all__ = [
    "Cache",
    "Held",
    "KeepFree",
    "Model",
    "OwnersProgress",
    "Pod",
    "Reservation",
    "boot_id",
    "parse_keep_free",
    "this_pod",
]
