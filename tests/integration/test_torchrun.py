"""Two real processes under torchrun (gloo) learn what one process learns."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from medgraph.training import checkpoint

PROGRAM = """
    import sys
    import numpy as np, pyarrow as pa, torch
    from torch import nn
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.schema import EdgeType
    from medgraph.embeddings.skipgram import SkipGram, TorchBackend
    from medgraph.embeddings.walks import UniformWalks
    from medgraph.training import Task, Trainer, distributed

    folder = sys.argv[1]
    torch.set_num_threads(1)

    class Regression(Task):
        def __init__(self):
            generator = torch.Generator().manual_seed(0)
            self.x = torch.randn(40, 3, generator=generator)
            self.module = nn.Linear(3, 1)
            for parameter in self.module.parameters():  # each process starts elsewhere: the first one's must win
                nn.init.constant_(parameter, 1.0 + distributed.rank())
            self.optimiser = torch.optim.Adam(self.module.parameters(), lr=0.1)

        def batches(self, epoch):
            # one process takes twos of these batches at a time, two processes one each: the same gradient
            rows = torch.randperm(40, generator=torch.Generator().manual_seed(epoch)).reshape(-1, 5)
            return rows if WORLD == 2 else rows.reshape(-1, 10)

        def losses(self, batch, progress):
            return {"loss": ((self.module(self.x[batch]) - self.x[batch].sum(1, keepdim=True)) ** 2).mean()}

    import os
    WORLD = int(os.environ.get("WORLD_SIZE", "1"))
    history = Trainer(3, checkpoint=f"{folder}/regression").run(Regression())

    generator = np.random.default_rng(0)
    source = np.repeat(np.arange(400), 5)
    edges = np.stack([source, generator.integers(0, 200, 2000) * 2 + source % 2])  # two halves, even and odd
    nodes = pa.table({"id": [f"N:{i}" for i in range(400)], "name": [""] * 400})
    knows = EdgeType("Node", "knows", "Node")
    graph = KnowledgeGraph({"Node": nodes}, {knows: pa.table({"source": edges[0], "target": edges[1]})})
    model = SkipGram(vector_size=16, walks=UniformWalks(20, 10), epochs=3, sample=0.0, device="cpu",
                     backend=TorchBackend(batch_tokens=512 // WORLD)).fit(graph, checkpoint=f"{folder}/skipgram")
    scaled = model.embedding_.vectors / np.linalg.norm(model.embedding_.vectors, axis=1, keepdims=True)
    alike = scaled @ scaled.T
    same = np.equal.outer(np.arange(400) % 2, np.arange(400) % 2)
    np.fill_diagonal(same, False)
    apart = alike[same].mean() - alike[~same].mean()
    told = f"{history[-1]['loss']:.6f} {apart:.4f} {model.history_[-1]['loss']:.4f}"
    with open(f"{folder}.{os.environ.get('RANK', '0')}", "w") as file:
        file.write(told)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What one and two processes found, and where they saved."""
    home = tmp_path_factory.mktemp("torchrun")
    program = home / "train.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed, folders = {}, {}
    for processes in (1, 2):
        folder = folders[processes] = home / str(processes)
        folder.mkdir()
        torchrun = (
            [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        )
        run = subprocess.run(
            [sys.executable, *torchrun, str(program), str(folder)],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
        told = [(home / f"{processes}.{rank}").read_text().split() for rank in range(processes)]
        assert told[0] == told[-1]  # all processes end with the same vectors
        printed[processes] = told[0]
    return printed, folders


def test_averaged_gradients_are_the_gradient_of_both_halves(outcomes):
    printed, folders = outcomes
    one, two = (checkpoint.read(folders[n] / "regression") for n in (1, 2))
    assert printed[2][0] == printed[1][0]
    for name, tensor in one[0].items():
        if name.startswith(("module/", "optimiser/")):
            assert two[0][name].numpy() == pytest.approx(tensor.numpy(), abs=1e-5), name
    assert [row["loss"] for row in two[1]["history"]] == pytest.approx([row["loss"] for row in one[1]["history"]])


def test_one_process_writes(outcomes):
    _, folders = outcomes
    assert sorted(path.name for path in folders[2].iterdir()) == ["regression", "skipgram"]
    assert checkpoint.read(folders[2] / "skipgram")[1]["processes"] == 2


def test_skipgram_learns_as_well_in_two_processes(outcomes):
    printed, _ = outcomes
    apart = {processes: float(printed[processes][1]) for processes in (1, 2)}
    assert apart[1] > 0.15
    assert apart[2] == pytest.approx(apart[1], rel=0.15)
    assert float(printed[2][2]) == pytest.approx(float(printed[1][2]), rel=0.03)
