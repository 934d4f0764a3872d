"""What an encoder reads of one drug or target, as rows that can be faded out, and whose atoms or residues they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from medgraph.heads.interaction.behind import behind
from medgraph.heads.interaction.features import Features, Inputs, JoinedFeatures
from medgraph.heads.interaction.molecular_graph import MoleculeEncoder, MoleculeFeatures
from medgraph.heads.interaction.owners import Owners, atom_owners, bond_owners
from medgraph.heads.interaction.token_features import TokenFeatures

__all__ = ["Piece", "Reading"]


@dataclass(eq=False)
class Piece:
    """Numbers that go into an encoder: `base` is what stands for nothing, `whole` what stands for this entity.

    Args:
        whole: (rows, d).
        base: (rows, d).
        columns: the units are the columns of one row, such as the bits of a fingerprint, not rows.
        owners: whose each unit is; None where it is nobody's, as with ids and graph vectors.
        module: in which it stands in for what is looked up, at its `call`-th call.
        call: counted from 0.
        input: or the number of the input that it stands in for.
        make: makes that input of it.
    """

    whole: Float[Tensor, "u d"]
    base: Float[Tensor, "u d"]
    columns: bool
    owners: Owners | None
    module: nn.Module | None = None
    call: int = 0
    input: int = -1
    make: Callable[[Tensor], Tensor] | None = None

    def shares(self, each: Float[Tensor, "u d"]) -> Float64[np.ndarray, " n"]:
        """Numbers of the piece's size, summed over each unit and spread over the unit's atoms or residues."""
        assert self.owners is not None
        units = each.reshape(-1) if self.columns else each.sum(dim=1)
        return self.owners.spread(units.detach().double().cpu().numpy())

    def faded(self, kept: Float64[np.ndarray, "k n"]) -> Float[Tensor, "k u d"]:
        """The piece, each time only these atoms or residues are there (1) or not (0)."""
        if self.owners is None:
            return self.whole.expand(len(kept), *self.whole.shape)
        units = torch.from_numpy(np.stack([self.owners.left(each) for each in kept])).to(self.whole)
        return self.base + (self.whole - self.base) * (units[:, None, :] if self.columns else units[:, :, None])


@dataclass(eq=False)
class Reading:
    """One entity as one network's encoder reads it.

    Args:
        encoder: of drugs or targets.
        inputs: of this entity alone.
        parts: the kind of features of each input.
        text: its SMILES or sequence.
        drug: is it a drug?
    """

    encoder: nn.Module
    inputs: Inputs
    parts: Sequence[tuple[Features, int]]
    text: str
    drug: bool
    pieces: list[Piece] = field(init=False)

    @classmethod
    def of(cls, encoder: nn.Module, features: Features, inputs: Inputs, text: str, drug: bool) -> Reading:
        """With the pieces found by letting the encoder read once."""
        return cls(encoder, inputs, _parts(features, len(inputs)), text, drug)

    def __post_init__(self) -> None:
        self.pieces = self._find()

    def encode(self, stand_ins: Sequence[Tensor]) -> Float[Tensor, "k w"]:
        """The entity's vector, k times, when these stand in for the pieces."""
        times = len(stand_ins[0]) if stand_ins else 1
        if times > 1 and not all(
            isinstance(part, TokenFeatures) or tensor.shape[0] == 1
            for (part, _), tensor in zip(self.parts, self.inputs, strict=True)
        ):
            return torch.cat([self.encode([each[i : i + 1] for each in stand_ins]) for i in range(times)])
        inputs = [tensor.repeat(times, *[1] * (tensor.ndim - 1)) for tensor in self.inputs]
        for piece, tensor in zip(self.pieces, stand_ins, strict=True):
            if piece.make is not None:
                inputs[piece.input] = piece.make(tensor.reshape(times, -1))
            elif piece.input >= 0:
                inputs[piece.input] = tensor.reshape(inputs[piece.input].shape)
        with _standing_in(self.pieces, stand_ins):
            found: Tensor = self.encoder(*inputs)
        return found

    def _find(self) -> list[Piece]:
        found: list[Piece] = []
        hooks = []
        inside = {m for module in self.encoder.modules() if _reads_tokens(module) for m in module.modules()}
        tables = {
            table: kind
            for module in self.encoder.modules()
            if isinstance(module, MoleculeEncoder)
            for kind in ("atoms", "bonds")
            for table in getattr(module, kind)
        }
        for module in self.encoder.modules():
            if _reads_tokens(module):
                hooks.append(module.register_forward_pre_hook(self._token_hook(found), with_kwargs=True))
            elif isinstance(module, nn.Embedding) and module not in inside:
                hooks.append(module.register_forward_hook(self._table_hook(found, tables.get(module))))
        with torch.no_grad():
            self.encoder(*self.inputs)
        for hook in hooks:
            hook.remove()
        for place, tensor in enumerate(self.inputs):
            if hidden := behind(self.parts[place][0], self.text, tensor.device):
                zeros = torch.zeros_like(hidden.numbers)
                found.append(Piece(hidden.numbers, zeros, True, hidden.owners, input=place, make=hidden.make))
            elif tensor.is_floating_point():
                one_row = tensor.ndim < 2 or tensor.shape[0] == 1
                whole = tensor.detach().reshape(1, -1) if one_row else tensor.detach().reshape(tensor.shape[0], -1)
                owners = self._owners(place, whole.shape[1] if one_row else whole.shape[0])
                found.append(Piece(whole, torch.zeros_like(whole), one_row, owners, input=place))
        return found

    def _token_hook(self, found: list[Piece]) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
            tokens = args[0]
            rows = torch.arange(tokens.shape[0], device=tokens.device) % getattr(module, "stride", 1)
            whole = module.embedding.weight.detach()[tokens.long() + getattr(module, "tokens", 0) * rows]
            base = torch.where((tokens == 0)[:, None], whole, torch.zeros_like(whole))  # padding is always there
            owners = self._owners(self._place_of(tokens), whole.shape[0])
            found.append(Piece(whole, base, False, owners, module))

        return hook

    def _table_hook(self, found: list[Piece], kind: str | None) -> Callable[..., None]:
        """Of a table of atoms' or bonds' properties, or else of ids, where the first is that of an unknown one."""

        def hook(module: Any, _args: tuple[Any, ...], output: Tensor) -> None:
            calls = sum(piece.module is module for piece in found)
            whole = output.detach().reshape(-1, output.shape[-1])
            if kind is None:
                found.append(Piece(whole, module.weight.detach()[:1].expand_as(whole), False, None, module, calls))
                return
            atoms, ends = (self.inputs[self._input_of(MoleculeFeatures, number)] for number in (0, 1))
            owners = bond_owners(ends.cpu().numpy(), len(atoms)) if kind == "bonds" else atom_owners(len(atoms))
            found.append(Piece(whole, torch.zeros_like(whole), False, owners, module, calls))

        return hook

    def _input_of(self, kind: type[Features], number: int) -> int:
        return next(i for i, (part, at) in enumerate(self.parts) if isinstance(part, kind) and at == number)

    def _place_of(self, tensor: Tensor) -> int:
        return next((i for i, mine in enumerate(self.inputs) if mine is tensor), 0)

    def _owners(self, place: int, units: int) -> Owners | None:
        features, number = self.parts[place]
        return features.owners(number, self.text, units, self.drug)


def _parts(features: Features, inputs: int) -> list[tuple[Features, int]]:
    """For each input tensor, the kind of features it is of, and its place among theirs."""
    if isinstance(features, JoinedFeatures):
        return [part for each in features.parts for part in _parts(each, each.size)]
    return [(features, place) for place in range(inputs)]


def _reads_tokens(module: nn.Module) -> bool:
    """Does its forward take `vectors` in place of tokens?"""
    return hasattr(module, "embedding") and "vectors" in type(module).forward.__annotations__


@contextmanager
def _standing_in(pieces: Sequence[Piece], stand_ins: Sequence[Tensor]) -> Iterator[None]:
    hooks = []
    for piece, tensor in zip(pieces, stand_ins, strict=True):
        if piece.module is None:
            continue
        if _reads_tokens(piece.module):
            hooks.append(piece.module.register_forward_pre_hook(_with_vectors(tensor), with_kwargs=True))
        else:
            hooks.append(piece.module.register_forward_hook(_instead(tensor, piece.call)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_vectors(tensor: Tensor) -> Callable[..., Any]:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        stride = getattr(module, "stride", 1)
        vectors = tensor.reshape(-1, stride, tensor.shape[-1]).sum(dim=1)
        return args, {**kwargs, "vectors": vectors}

    return hook


def _instead(tensor: Tensor, call: int) -> Callable[..., Any]:
    calls = [0]

    def hook(_module: Any, _args: Any, output: Tensor) -> Any:
        calls[0] += 1
        return tensor.reshape(output.shape) if calls[0] - 1 == call else None

    return hook
