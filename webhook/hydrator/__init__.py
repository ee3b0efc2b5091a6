"""Brings a model from S3 or a POSIX tree onto a node's disk: fast, verified, resumable, once per node.

It is what the injected init container runs, so it imports nothing else of ours, needs awscrt alone, and starts quickly.

    command   the command line, the exit code, the last words
    run       one model: plan, lock, room, transfer, verify, publish
    s3, posix where models come from
    engine    how bytes get to the disk: processes of threads that read ranges
    cache     what lies on the disk: versions, locks, leases, eviction
"""
