"""Where a Neo4j server is, without who we are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from medgraph.errors import StoreError

__all__ = ["SCHEMES", "Address"]

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{2,62}")


@dataclass(frozen=True)
class Address:
    """Where a server is: `scheme` says whether and how the way there is encrypted, `database` which one of it.

    neo4j, bolt: plain; +s: TLS with a certificate that a known authority signed; +ssc: TLS with any certificate.
    neo4j:// asks the server which members of its cluster to talk to, bolt:// talks to that one.
    """

    scheme: str
    host: str
    port: int
    database: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read neo4j[+s|+ssc]://host[:port][/database], or bolt in place of neo4j. Raises StoreError."""
        if "@" in url:
            raise StoreError(
                "This address holds a user or password, and addresses end up in logs. Set NEO4J_USERNAME and "
                "NEO4J_PASSWORD, or give open_store(..., credentials=function)."
            )
        try:
            parts = urlsplit(url)
            host, port, database = parts.hostname, parts.port or 7687, parts.path.strip("/") or None
        except ValueError:
            host, port, database = None, 0, None
        if not host or parts.query or parts.fragment or (database and not _DATABASE.fullmatch(database)):
            raise StoreError(  # what came is not repeated: a password may stand in it
                "This is no address of a Neo4j server; expected is scheme://host[:port][/database], such as "
                f"neo4j://localhost:7687/neo4j, with one of the schemes {', '.join(SCHEMES)}."
            )
        return cls(parts.scheme.lower(), host, port, database)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" + (f"/{self.database}" if self.database else "")

    @property
    def encrypted(self) -> bool:
        """Is TLS asked for?"""
        return "+" in self.scheme
