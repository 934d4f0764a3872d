"""The verbs `medgraph export ...`: a graph as files for another program."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from medgraph import console

__all__ = ["app"]

app = typer.Typer(name="export", help="A graph as files for another program.", no_args_is_help=True)


@app.callback()
def export() -> None:
    """A graph as files for another program."""


@app.command("neo4j-admin")
def neo4j_admin(
    graph: Annotated[str, typer.Argument(help="A store (a folder, or neo4j://host:7687), or the name of a loader.")],
    to: Annotated[Path, typer.Option(help="The folder to make.")],
    database: Annotated[str, typer.Option(help="The database that the import makes.")] = "neo4j",
    path: Annotated[Path | None, typer.Option(help="The loader's files, where they are here already.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Write the files for `neo4j-admin database import`, and say with which command they are imported.

    Example: medgraph export neo4j-admin starter --to graphs/import
    """
    from medgraph.stores.neo4j.bulk import export_for_admin

    loaded = console.graph_in(graph, path)
    with console.busy(f"writing {to}"):
        made = export_for_admin(loaded, to, database)
    if as_json:
        told = {
            "folder": str(made.folder),
            "nodes": made.num_nodes,
            "edges": made.num_edges,
            "fingerprint": loaded.fingerprint,
            "command": made.command,
        }
        console.show(None, True, lambda: told)
        return
    console.say(
        f"{made.num_nodes:,} nodes and {made.num_edges:,} edges are in {made.folder}. With the server stopped, "
        f"{shlex.quote(str(made.folder / 'import.sh'))} runs:\n\n{made.command}\n\n"
        f"Then start the server and run {made.folder / 'schema.cypher'}, which makes constraints and indexes."
    )
