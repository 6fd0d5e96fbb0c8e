"""Gives Milvus a user for the search server, which reads, and one for the ingest, which also writes; neither may drop.

    MILVUS_ROOT_PASSWORD=... MILVUS_SERVING_PASSWORD=... MILVUS_INGEST_PASSWORD=... python users.py http://milvus:19530

What is there already stays: it may be run again. Needs pymilvus.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

EVERYTHING = "*"
DATABASE = "default"
READS = (
    "DescribeCollection",
    "ShowCollections",
    "GetLoadState",
    "GetLoadingProgress",
    "GetStatistics",
    "IndexDetail",
    "Load",  # a version is loaded by the process that opens it
    "Query",
    "Search",
    "DescribeAlias",
    "ListAliases",
)
WRITES = ("Insert", "Upsert", "Delete", "Flush")
CREATES = ("CreateCollection", "CreateIndex", "CreateAlias")  # the first version, by --create
ROLES = {"serving": READS, "ingest": (*READS, *WRITES, *CREATES)}


def make_users(client: Any, passwords: dict[str, str]) -> None:
    """A user and a role of each name in `ROLES`, with no other rights than those.

    Args:
        client: a `pymilvus.MilvusClient` of root.
        passwords: user -> password; one that is there keeps its own.
    """
    for name, privileges in ROLES.items():
        if name not in client.list_roles():
            client.create_role(name)
        for privilege in privileges:
            client.grant_privilege_v2(name, privilege, EVERYTHING, DATABASE)
        if name not in client.list_users():
            client.create_user(name, passwords[name])
        client.grant_role(name, name)


def main(address: str) -> None:
    """Makes them at `address` with the passwords of the environment."""
    from pymilvus import MilvusClient

    root = f"root:{os.environ['MILVUS_ROOT_PASSWORD']}"
    passwords = {name: os.environ[f"MILVUS_{name.upper()}_PASSWORD"] for name in ROLES}
    make_users(MilvusClient(uri=address, token=root, timeout=60), passwords)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="http://HOST:PORT of the Milvus server")
    main(parser.parse_args().address)
