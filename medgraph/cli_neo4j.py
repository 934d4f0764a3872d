"""The verbs `medgraph neo4j up|down|status`: a Neo4j server of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from medgraph import console
from medgraph.errors import SchemaError

__all__ = ["app"]

app = typer.Typer(
    name="neo4j",
    help="A Neo4j server on this machine, from Maven Central and Java, without Docker.",
    no_args_is_help=True,
)

_USUAL = Path("~/.medgraph/neo4j")
Home = Annotated[Path, typer.Option(envvar="MEDGRAPH_NEO4J_HOME", help="The server's folder: data, settings, logs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def up(
    home: Home = _USUAL,
    version: Annotated[str | None, typer.Option(help="Which Neo4j; by default the home's own, or 5.26.30.")] = None,
    bolt_port: Annotated[int, typer.Option(help="Where Bolt is spoken.")] = 7687,
    http_port: Annotated[int, typer.Option(help="Where HTTP is spoken.")] = 7474,
    heap: Annotated[str, typer.Option(help="Memory for Java's objects.")] = "1g",
    page_cache: Annotated[str, typer.Option(help="Memory for pages of the database.")] = "512m",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A line for neo4j.conf as name=value; may be repeated.")
    ] = None,
    jars: Annotated[Path | None, typer.Option(help="A folder with Neo4j's jars; else they are downloaded.")] = None,
    show_password: Annotated[bool, typer.Option("--show-password", help="Print the password too.")] = False,
    as_json: Json = False,
) -> None:
    """Start a server on 127.0.0.1 and wait until it answers; one that runs already is left as it is.

    The password is $NEO4J_PASSWORD, or is made at the first start and kept in the home, for its owner only.

    Example: medgraph neo4j up --bolt-port 7687 --heap 2g
    """
    from medgraph.server.neo4j import USER, Neo4jServer

    extra = dict(_setting(text) for text in settings or [])
    version = version or Neo4jServer(home).made_by or Neo4jServer.version
    server = Neo4jServer(home, version, bolt_port, http_port, heap, page_cache, extra, jars=jars)
    with console.busy(f"starting Neo4j {version} in {server.home}"):
        running = server.start()
    told: dict[str, Any] = {
        "url": running.url,
        "user": USER,
        "password_file": str(server.password_file),
        "http": f"http://127.0.0.1:{http_port}",
        "pid": running.pid,
        "version": version,
        "home": str(server.home),
    }
    if show_password:
        told["password"] = server.password()
    if as_json:
        console.show(None, True, lambda: told)
        return
    password = shlex.quote(told["password"]) if show_password else f'"$(cat {shlex.quote(told["password_file"])})"'
    console.say(
        f"Neo4j {version} answers at {running.url} (process {running.pid}); "
        f"its password is kept in {server.password_file}.\n"
        "To use it from this shell:\n"
        f"export NEO4J_URI={running.url}\n"
        f"export NEO4J_USERNAME={USER}\n"
        f"export NEO4J_PASSWORD={password}"
    )


@app.command()
def down(home: Home = _USUAL, as_json: Json = False) -> None:
    """Stop the server of a home; what it holds is kept.

    Example: medgraph neo4j down
    """
    from medgraph.server.neo4j import Neo4jServer

    server = Neo4jServer(home)
    stopped = server.stop()
    if as_json:
        console.show(None, True, lambda: {"home": str(server.home), "stopped": stopped})
    else:
        console.say(f"Neo4j in {server.home} is stopped." if stopped else f"No server runs in {server.home}.")


@app.command()
def status(home: Home = _USUAL, as_json: Json = False) -> None:
    """Does a server run in a home? Exit code 0 if so, else 1.

    Example: medgraph neo4j status --json
    """
    from medgraph.server.neo4j import Neo4jServer

    server = Neo4jServer(home)
    running = server.status()
    if as_json:
        told: dict[str, Any] = {"home": str(server.home), "running": running is not None}
        if running is not None:
            told |= {"url": running.url, "http_port": running.http_port, "pid": running.pid, "version": running.version}
        console.show(None, True, lambda: told)
    elif running is not None:
        console.say(f"Neo4j {running.version} runs at {running.url} (process {running.pid}), home {server.home}.")
    else:
        console.say(f"No server runs in {server.home}.")
    if running is None:
        raise typer.Exit(1)


def _setting(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise SchemaError(f"--set {text!r}: expected name=value.")
    return name.strip(), value.strip()
