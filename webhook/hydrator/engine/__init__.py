"""How bytes get to the disk: processes of threads that read ranges of a source and write them where they belong.

    sizing    how many processes and connections, from what `cgroup` says this container may use
    layout    the tree and its room, before the first byte
    transfer  the bytes: hands parts to workers, counts, compares checksums; `worker` is what one thread does
    journal   what is on disk already, so that a second run fetches only the rest
    settling  what makes it outlive a power cut
    checksum  CRC64NVME of files that are there, for `--verify`

Nothing is imported here: a hit needs none of it.
"""
