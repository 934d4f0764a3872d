"""How many pairs a second does DeepDTA train on, in four forms that give the same numbers and gradients?

    python benchmarks/interaction_speed.py path/to/davis [--whole] [--rounds 5]

- pairwise: every pair has its own copy of its drug and its target, as DeepDTA was published;
- unique: random batches, each drug and target of the batch once;
- blocks: the same, in batches of about 16 targets with 16 pairs each;
- blocks, folded, largest: what the package does: the vectors of letters folded into the first convolution, nothing
  padded, gradients of the last convolution only where its maximum is.

The first three are plain torch over texts padded to the batch's longest. A step is forward, backward and AdamW on 256
pairs, in float32. Lengths are the paper's (85 and 1200) unless --whole. The forms take turns, round by round, in one
process; the median of the rounds is given, and the load, since other work on the machine moves all of them. In float64,
on 64 pairs, the largest difference of loss and of gradients from the pairwise form is printed first.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from medgraph.heads.interaction.batching import PairBatch, PairData, blocks
from medgraph.heads.interaction.deepdta import DeepDTA
from medgraph.heads.interaction.fitted import Scale
from medgraph.heads.interaction.fitting import encode_parts
from medgraph.heads.interaction.losses import SquaredError
from medgraph.heads.interaction.pair_network import PairNetwork
from medgraph.loading import load

BATCH, BLOCK = 256, 16
Rows = list[np.ndarray]


def plain(encoder: nn.Module, tokens: Tensor, lengths: Tensor) -> Tensor:
    """TokenConvolution as torch has it: texts padded to the longest, vectors, convolutions, a masked maximum."""
    texts = nn.utils.rnn.pad_sequence(list(torch.split(tokens.long(), lengths.tolist())), batch_first=True)
    x = encoder.embedding(texts).transpose(1, 2)
    for convolution in encoder.convolutions:
        x = torch.relu(convolution(x))
    inside = torch.arange(x.shape[2], device=x.device) <= (lengths.to(x.device) - encoder.field)[:, None]
    return (x * inside[:, None]).amax(dim=2)


class Form:
    """One way to take a step."""

    def __init__(self, name: str, network: PairNetwork, data: PairData, rows: Rows, pairwise: bool, own: bool) -> None:
        self.name, self.data, self.rows, self.pairwise, self.own = name, data, rows, pairwise, own
        self.network = network
        self.optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.0, fused=True)
        self.next = 0

    def loss(self, rows: np.ndarray) -> Tensor:
        batch, network = self.data.batch(rows), self.network
        if self.pairwise:
            drugs = self.data.drugs.tensors(self.data.drug[rows], self.data.device)
            targets = self.data.targets.tensors(self.data.target[rows], self.data.device)
            every = torch.arange(len(rows), device=self.data.device)
            batch = PairBatch(drugs, targets, every, every, batch.value, batch.limited)
        if self.own:
            raw = network(batch)
        else:
            drug, target = plain(network.drugs, *batch.drug_inputs), plain(network.targets, *batch.target_inputs)
            raw = network.join(drug[batch.drug], target[batch.target])
        return SquaredError().loss(raw, batch.value, batch.limited, network.learned).mean()

    def step(self) -> float:
        start = time.perf_counter()
        loss = self.loss(self.rows[self.next % len(self.rows)])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        if self.data.device.type == "cuda":
            torch.cuda.synchronize()
        self.next += 1
        return time.perf_counter() - start


def differences(make: Callable[[bool, bool], Form], rows: np.ndarray) -> tuple[float, float]:
    """Of loss and gradients, of the package's form from the pairwise one, in float64."""
    torch.set_default_dtype(torch.float64)
    found = []
    for pairwise, own in ((True, False), (False, True)):
        form = make(pairwise, own)
        form.network.double().eval()
        loss = form.loss(rows)
        weights = [p for p in form.network.parameters() if p.numel()]
        found.append((loss.detach(), torch.autograd.grad(loss, weights)))
    torch.set_default_dtype(torch.float32)
    (a, first), (b, second) = found
    return float((a - b).abs()), max(float((x - y).abs().max()) for x, y in zip(first, second, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of DeepDTA's Davis files")
    parser.add_argument("--whole", action="store_true", help="do not cut texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of the faster forms in a round; the pairwise takes one")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    split = load("davis", path=given.source).split(by="given", fold=0)
    lengths = {} if given.whole else {"max_smiles": 85, "max_sequence": 1200}
    head = DeepDTA(seed=0, **lengths)
    features = head._drugs(split.train), head._targets(split.train)

    def network() -> PairNetwork:
        torch.manual_seed(0)
        return head._network(*features, 1).to(given.device)

    scale = Scale(float(split.train.value.mean()), float(split.train.value.std()))
    data, _ = encode_parts(*features, (split.train, split.valid), scale, torch.device(given.device))
    order = np.random.default_rng(0).permutation(len(data))
    random: Rows = [order[i : i + BATCH] for i in range(0, len(order) - BATCH, BATCH)]
    blocked = blocks(data.target, BLOCK, BATCH, 0, 0)[:-1]
    of_loss, of_gradients = differences(lambda p, o: Form("", network(), data, random, p, o), random[0][:64])
    print(f"float64, 64 pairs: loss differs by {of_loss:.1e}, gradients by {of_gradients:.1e} at most")
    forms = [
        Form("pairwise", network(), data, random, True, False),
        Form("unique", network(), data, random, False, False),
        Form("blocks", network(), data, blocked, False, False),
        Form("blocks, folded, largest", network(), data, blocked, False, True),
    ]
    taken: dict[str, list[float]] = {form.name: [] for form in forms}
    for number in range(given.rounds + 1):
        for form in forms:
            times = [form.step() for _ in range(1 if form.pairwise else given.steps)]
            if number:  # the first round warms up
                taken[form.name].append(float(np.median(times)))
    speed = {name: BATCH / float(np.median(times)) for name, times in taken.items()}
    cut = "whole texts" if given.whole else "texts cut at 85 and 1200"
    print(f"Davis, {cut}, {given.device}, {given.threads} thread, load {os.getloadavg()[0]:.1f}, {given.rounds} rounds")
    for name, value in speed.items():
        low, high = BATCH / max(taken[name]), BATCH / min(taken[name])
        print(f"{name:26}{value:9,.0f} pairs/s ({low:,.0f} to {high:,.0f}){value / speed['pairwise']:7.1f} x")


if __name__ == "__main__":
    main()
