"""Download a prefix with boto3's transfer manager: `boto.py URL BUCKET PREFIX DIRECTORY`.

Environment: CONNECTIONS, PART (bytes), and what boto3 itself reads.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config


def main(url: str, bucket: str, prefix: str, directory: Path) -> None:
    """Download everything below the prefix."""
    connections = int(os.environ["CONNECTIONS"])
    client = boto3.client(
        "s3", endpoint_url=url, config=Config(max_pool_connections=connections, s3={"addressing_style": "path"})
    )
    transfer = TransferConfig(
        max_concurrency=connections,
        multipart_chunksize=int(os.environ["PART"]),
        multipart_threshold=int(os.environ["PART"]) * 2,
        preferred_transfer_client="classic",
    )
    running = []
    with create_transfer_manager(client, transfer) as manager:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                path = directory / entry["Key"].removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                running.append(manager.download(bucket, entry["Key"], str(path)))
        for one in running:
            one.result()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
