"""Does a Neo4j server answer?"""

from __future__ import annotations

import base64
import json
import socket
from http.client import HTTPConnection, HTTPException

__all__ = ["cypher_answers"]

_HANDSHAKE = bytes.fromhex("6060b01700080805000000040000000000000000")  # Bolt 5.0 to 5.8, else 4.0
_AUTHENTICATION_FAILED = 401


def cypher_answers(bolt_port: int, http_port: int, user: str, password: str, timeout: float = 5.0) -> bool | None:
    """Is Bolt spoken on one port, and a Cypher statement run through the other? None where the password is refused."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": f"Basic {token}"}
    try:
        with socket.create_connection(("127.0.0.1", bolt_port), timeout) as bolt:
            bolt.sendall(_HANDSHAKE)
            if len(bolt.recv(4)) != 4:
                return False
        http = HTTPConnection("127.0.0.1", http_port, timeout=timeout)
        try:
            http.request("POST", "/db/neo4j/query/v2", json.dumps({"statement": "RETURN 1 AS one"}), headers)
            response = http.getresponse()
            body = response.read()
        finally:
            http.close()
        if response.status == _AUTHENTICATION_FAILED:
            return None
        return bool(json.loads(body).get("data", {}).get("values") == [[1]])
    except (OSError, HTTPException, ValueError, AttributeError):
        return False
