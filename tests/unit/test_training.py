"""The loop: what it computes is a plain loop's result, and an interrupted run resumes to the same bits."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from medgraph.errors import ArtefactError, FormatVersionError, MedgraphError, SchemaError
from medgraph.training import EarlyStopping, Task, Trainer, TrainingInterrupted, checkpoint, resolve_device
from medgraph.training.rates import cosine, set_rate, warmed_cosine


class Regression(Task):
    """y = sum(x), with noise drawn at every step, dropout and Adam: much that a resumed run must get right."""

    def __init__(self, learning_rate: float = 0.05, interrupt_at: int | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(60, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.BatchNorm1d(8), nn.Linear(8, 1))
        for parameter in self.module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.optimiser = torch.optim.AdamW(self.module.parameters(), lr=learning_rate)
        self.settings = {"learning_rate": learning_rate}
        self.interrupt_at, self.steps, self.progress = interrupt_at, 0, []

    def batches(self, epoch):
        return torch.randperm(60, generator=torch.Generator().manual_seed(epoch)).split(10)

    def losses(self, batch, progress):
        self.steps += 1
        self.progress.append(progress)
        if self.steps == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)
        error = self.module(self.x[batch] + 0.1 * torch.randn(len(batch), 4)) - self.y[batch]
        return {"loss": (error**2).mean(), "absolute": error.abs().mean()}

    def validate(self):
        return {"valid": float(((self.module(self.x) - self.y) ** 2).mean())}


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0, atol=0)


def test_it_is_the_plain_loop():
    task, plain = Regression(), Regression()
    history = Trainer(3, seed=5).run(task)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        means = []
        for epoch in range(3):
            plain.module.train()
            losses = []
            for batch in plain.batches(epoch):
                loss = plain.losses(batch, 0.0)["loss"]
                plain.optimiser.zero_grad()
                loss.backward()
                plain.optimiser.step()
                losses.append(loss.item())
            means.append(sum(losses) / len(losses))
    assert_same_weights(plain.module, task.module)
    assert [row["loss"] for row in history] == pytest.approx(means)
    assert task.progress == pytest.approx([i / 18 for i in range(18)])
    assert list(history.to_pandas().columns) == ["epoch", "loss", "absolute", "valid"]


def test_the_callers_random_numbers_are_left_alone():
    task = Regression()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    Trainer(1).run(task)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


@pytest.mark.parametrize("at", [1, 4, 6, 9, 13, 18])
def test_a_run_stopped_by_ctrl_c_resumes_to_the_same_bits(tmp_path, at):
    whole = Regression()
    stopping = EarlyStopping("valid", patience=2)
    expected = Trainer(3, early_stopping=stopping).run(whole)

    file = tmp_path / "run.safetensors"
    stopped = Regression(interrupt_at=at)
    with pytest.raises(TrainingInterrupted, match="resume=True"):
        Trainer(3, checkpoint=file, early_stopping=stopping).run(stopped)
    assert stopped.steps == at
    resumed = Regression()
    history = Trainer(3, checkpoint=file, early_stopping=stopping, resume=True).run(resumed)
    assert resumed.steps == 18 - at
    assert_same_weights(whole.module, resumed.module)
    assert history == expected


def test_a_run_of_fewer_epochs_can_be_prolonged(tmp_path):
    file = tmp_path / "run.safetensors"
    Trainer(2, checkpoint=file).run(Regression())
    resumed, whole = Regression(), Regression()
    assert Trainer(5, checkpoint=file, resume=True).run(resumed) == Trainer(5).run(whole)
    assert_same_weights(whole.module, resumed.module)


def test_ctrl_c_without_a_checkpoint_says_so_and_restores_the_handler():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="Nothing was saved"):
        Trainer(2).run(Regression(interrupt_at=3))
    assert signal.getsignal(signal.SIGINT) is before


def test_early_stopping_keeps_the_best_epoch():
    class Worsening(Task):
        def __init__(self) -> None:
            self.module = nn.Linear(1, 1)
            self.values = iter([3.0, 2.0, 1.0, 1.5, 0.999, 1.2, 0.1])
            self.kept = []

        def batches(self, epoch):
            return [epoch]

        def losses(self, batch, progress):
            self.module.weight.data.fill_(batch)
            return {"loss": torch.tensor(1.0)}

        def validate(self):
            return {"score": next(self.values)}

    task = Worsening()
    history = Trainer(7, early_stopping=EarlyStopping("score", patience=3, min_delta=0.01)).run(task)
    assert len(history) == 6
    assert task.module.weight.item() == 2
    with pytest.raises(SchemaError, match="auroc"):
        Trainer(7, early_stopping=EarlyStopping("auroc")).run(Worsening())


def test_gradients_are_clipped_to_a_norm():
    task = Regression()
    norms = []
    step = task.optimiser.step

    def watched() -> None:
        norms.append(torch.cat([p.grad.ravel() for p in task.module.parameters()]).norm().item())
        step()

    task.optimiser.step = watched
    Trainer(1, clip_norm=0.5).run(task)
    assert max(norms) <= 0.5 + 1e-5


def test_mixed_precision_computes_in_bfloat16():
    seen = []

    class Watched(Regression):
        def losses(self, batch, progress):
            seen.append(self.module(self.x[batch]).dtype)
            return super().losses(batch, progress)

    Trainer(1, mixed_precision=True).run(Watched())
    assert set(seen) == {torch.bfloat16}


def test_a_loss_that_is_not_finite_is_reported():
    with pytest.raises(MedgraphError, match="epoch 1"):
        Trainer(1).run(Regression(learning_rate=1e20))


def test_a_checkpoint_is_neither_overwritten_nor_mistaken(tmp_path):
    file = tmp_path / "run.safetensors"
    Trainer(1, checkpoint=file).run(Regression())
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(SchemaError, match="resume=True"):
        Trainer(2, checkpoint=file).run(Regression())
    with pytest.raises(SchemaError, match=r"learning_rate=0\.05; this run has 0\.1"):
        Trainer(2, checkpoint=file, resume=True).run(Regression(learning_rate=0.1))
    with pytest.raises(SchemaError, match="seed=0"):
        Trainer(2, seed=1, checkpoint=file, resume=True).run(Regression())


def test_a_damaged_foreign_or_newer_checkpoint_is_refused(tmp_path):
    file = tmp_path / "run.safetensors"
    Trainer(1, checkpoint=file).run(Regression())
    content = file.read_bytes()
    file.write_bytes(content[:-7])
    with pytest.raises(ArtefactError, match="readable"):
        checkpoint.read(file)
    tensors = {"a": torch.zeros(2)}
    save_file(tensors, file)
    with pytest.raises(ArtefactError, match="not a medgraph checkpoint"):
        checkpoint.read(file)
    header = {"format": "medgraph checkpoint", "format_version": "99", "facts": json.dumps({})}
    save_file(tensors, file, header)
    with pytest.raises(FormatVersionError, match="99"):
        checkpoint.read(file)


def test_a_checkpoint_is_plain_safetensors(tmp_path):
    file = tmp_path / "run.safetensors"
    task = Regression()
    Trainer(1, checkpoint=file).run(task)
    torch.testing.assert_close(load_file(file)["module/0.weight"], task.module[0].weight.detach())


def test_a_crash_while_saving_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "run.safetensors"
    checkpoint.write(file, {"a": torch.zeros(2)}, {"n": 1})

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(file, {"a": torch.ones(2)}, {"n": 2})
    tensors, facts = checkpoint.read(file)
    assert facts == {"n": 1}
    assert tensors["a"].tolist() == [0, 0]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": 1, "every": 0}, {"epochs": 1, "resume": True}])
def test_bad_parameters_are_refused(wrong):
    with pytest.raises(SchemaError):
        Trainer(**wrong)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for unknown in ("tpu9", "cuda:77"):
        with pytest.raises(SchemaError, match="auto"):
            resolve_device(unknown)


def test_the_cosine_rate_is_that_of_torch():
    def two_groups():
        return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(2)], lr=0.3)

    ours, theirs = two_groups(), two_groups()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=10)
    for step in range(11):
        set_rate(ours, 0.3 * cosine(step / 10))
        rates = [group["lr"] for group in ours.param_groups]
        assert rates == pytest.approx([group["lr"] for group in theirs.param_groups], abs=1e-12)
        theirs.step()
        schedule.step()


def test_the_warmed_rate_starts_at_a_tenth_and_is_the_cosine_from_a_tenth_on():
    assert warmed_cosine(0.0) == pytest.approx(0.1)
    assert warmed_cosine(0.04) == pytest.approx(0.5 * cosine(0.04))
    for progress in (0.1, 0.5, 1.0):
        assert warmed_cosine(progress) == cosine(progress)
