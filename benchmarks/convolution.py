"""One relational layer, forward and backward, beside PyG's RGCNConv: time and extra memory, each in its own process.

    python benchmarks/convolution.py path/to/hetionet

The layers take turns, so that a busy machine slows both; the least time of each counts. Extra memory is the highest
resident size during the passes less the size before them (graph, features and weights loaded).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

LAYERS = ("RGCNConv", "Full", "Basis", "BlockDiagonal", "Diagonal")  # the last four: how our W_r are parametrised


def _resident(kind: str) -> float:
    """VmHWM (the peak) or VmRSS (now) of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def serve(name: str, file: Path, size: int) -> None:
    """Runs one pass for each line read, answering its seconds; at the end, the extra memory."""
    import torch

    from medgraph.embeddings import convolution, typed_edges

    with np.load(file) as arrays:
        triples, nodes, types = arrays["triples"], int(arrays["nodes"]), int(arrays["types"])
    x = torch.randn(nodes, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    if name == "RGCNConv":
        warnings.simplefilter("ignore")
        from torch_geometric.nn import RGCNConv

        source, relation, target = torch.from_numpy(triples).T
        index = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
        layer, arguments = RGCNConv(size, size, 2 * types), (index, torch.cat([relation, relation + types]))
    else:
        edges = typed_edges.TypedEdges(triples, nodes, types)
        weights = getattr(convolution, name)()
        layer, arguments = convolution.RelationalConvolution(size, size, len(edges), weights), (edges,)
    del triples
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _resident("VmRSS")
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        layer(x, *arguments).sum().backward()
        print(time.perf_counter() - start, flush=True)
        x.grad = None
        layer.zero_grad()
    print(_resident("VmHWM") - before, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hetionet", type=Path, help="folder with Hetionet's files")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--serve", nargs=2, metavar=("LAYER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]), options.size)
        return
    import tempfile

    import medgraph as mg

    graph = mg.load("hetionet", path=options.hetionet)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "triples.npz"
        np.savez(file, triples=graph.triples(), nodes=graph.num_nodes, types=len(graph.edge_types))
        command = [sys.executable, __file__, str(options.hetionet), "--size", str(options.size), "--serve"]
        servers = {
            name: subprocess.Popen([*command, name, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for name in LAYERS
        }
        for server in servers.values():
            assert server.stdout is not None
            server.stdout.readline()
        seconds: dict[str, list[float]] = {name: [] for name in LAYERS}
        for _ in range(options.rounds):
            for name, server in servers.items():
                assert server.stdin is not None
                assert server.stdout is not None
                server.stdin.write("\n")
                server.stdin.flush()
                seconds[name].append(float(server.stdout.readline()))
        extra = {name: float(server.communicate()[0]) for name, server in servers.items()}
    reference = min(seconds["RGCNConv"])
    print(f"{graph!r}, both directions, d = {options.size}, forward and backward")
    print(f"{'layer':<18}{'seconds':>10}{'faster':>10}{'extra MB':>10}{'of PyG':>10}")
    figures = {}
    for name in LAYERS:
        best, memory = min(seconds[name]), extra[name]
        figures[name] = {"seconds": best, "ratio": reference / best, "extra_mb": memory}
        print(f"{name:<18}{best:>10.3f}{reference / best:>9.1f}x{memory:>10.0f}{memory / extra['RGCNConv']:>9.0%}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
