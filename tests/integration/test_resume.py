"""A training process that is interrupted, or killed outright, goes on in a new process as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from medgraph.training import checkpoint

PROGRAM = """
    import sys, time
    import numpy as np, pyarrow as pa, torch
    from medgraph.data.graph import KnowledgeGraph
    from medgraph.data.schema import EdgeType
    from medgraph.embeddings.skipgram import SkipGram, TorchBackend
    from medgraph.embeddings import skipgram_torch
    from medgraph.embeddings.walks import RelationBalancedWalks

    folder, pause, resume = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "resume"
    losses = skipgram_torch._SkipGramTask.losses

    def slowly(self, batch, progress):  # so that the signal arrives in the middle
        time.sleep(pause)
        return losses(self, batch, progress)

    skipgram_torch._SkipGramTask.losses = slowly
    torch.set_num_threads(1)
    pairs = np.random.default_rng(0).integers(0, 50, (2, 300))
    nodes = pa.table({"id": [f"N:{i}" for i in range(50)], "name": [""] * 50})
    edges = pa.table({"source": pairs[0], "target": pairs[1]})
    graph = KnowledgeGraph({"Node": nodes}, {EdgeType("Node", "knows", "Node"): edges})
    model = SkipGram(vector_size=8, walks=RelationBalancedWalks(2, 20), epochs=4, device="cpu",
                     backend=TorchBackend(batch_tokens=100, block=20))
    model.fit(graph, checkpoint=f"{folder}/run", resume=resume, progress=False)
    np.save(f"{folder}/vectors.npy", model.embedding_.vectors)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start the program on a folder."""
    program = tmp_path_factory.mktemp("resume") / "train.py"
    program.write_text(textwrap.dedent(PROGRAM))

    def start(folder, pause: float = 0.0, resume: bool = False) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(program), str(folder), str(pause), "resume" if resume else "fresh"],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, stderr=subprocess.PIPE,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def expected(start, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder)
    assert process.communicate(timeout=120)[1] == ""
    return (folder / "vectors.npy").read_bytes()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_goes_on_to_the_same_bits(start, expected, tmp_path, how):
    process = start(tmp_path, pause=0.1)
    until = time.monotonic() + 120
    while not (tmp_path / "run").exists():  # the first epoch is saved
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "vectors.npy").exists()
    state = checkpoint.read(tmp_path / "run")[1]["state"]
    if how == signal.SIGINT:
        assert state["step"] > 0
        assert "To go on, make the same call with resume=True" in said
    else:
        assert state["step"] == 0
    assert start(tmp_path, resume=True).communicate(timeout=120)[1] == ""
    assert (tmp_path / "vectors.npy").read_bytes() == expected
