"""What really leaves a model: from open and closed rows and columns to smaller tensors that compute the same.

What the authors of FineGates export keeps its size; here rows and columns that are closed are not stored, and what they
alone fed, or were fed by, leaves with them:

* a neuron of the MLP leaves if one of its rows or its column is closed: the tensors simply shrink;
* a value dimension leaves if its row is closed, or all columns of the output layer that read it are;
* a group of heads that gives nothing any more leaves with its query, key and value rows, so there are fewer heads;
* other closed rows and columns (scattered ones of the attention, dimensions of the residual stream) are gathered from
  and scattered into the full width, which saves memory but little or no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compression.adaptation.structure import BlockStructure, ModelStructure, linear
from compression.errors import UserError
from compression.modules import ShrunkLinear
from compression.sites import compressed_copy


@dataclass(frozen=True)
class Open:
    """Which rows and columns of a layer are not closed by a gate: boolean (out,) and (in,)."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Kept:
    """What of a layer is stored, and what its surroundings exchange with it.

    Attributes:
        rows: boolean (out,): stored rows.
        columns: boolean (in,): stored columns.
        row_layout: boolean (out,): the outputs that are handed on, a superset of `rows`; the others are zero.
        column_layout: boolean (in,): the inputs that arrive, a superset of `columns`.
    """

    rows: Tensor
    columns: Tensor
    row_layout: Tensor
    column_layout: Tensor

    @property
    def stored(self) -> int:
        """Number of weights that stay."""
        return int(self.rows.sum()) * int(self.columns.sum())

    @property
    def total(self) -> int:
        """Number of weights of the dense layer."""
        return self.rows.numel() * self.columns.numel()


def all_open(model: nn.Module, structure: ModelStructure) -> dict[str, Open]:
    """Every row and column open: what a method that closes some starts from."""
    sizes = {name: linear(model, name).weight.shape for name in structure.layers}
    return {
        name: Open(torch.ones(rows, dtype=torch.bool), torch.ones(columns, dtype=torch.bool))
        for name, (rows, columns) in sizes.items()
    }


def kept_parts(structure: ModelStructure, opened: Mapping[str, Open]) -> dict[str, Kept]:
    """What stays of every layer when the closed rows and columns, and all that hangs on them alone, leave.

    Args:
        structure: the blocks.
        opened: layer name → what is not closed.
    """
    kept: dict[str, Kept] = {}
    for block in structure.blocks:
        kept |= _kept_attention(block, opened) | _kept_mlp(block, opened)
    return kept


def _kept_mlp(block: BlockStructure, opened: Mapping[str, Open]) -> dict[str, Kept]:
    output = opened[block.mlp_output]
    neurons = output.columns.clone()
    for name in block.mlp_inputs:
        neurons &= opened[name].rows
    kept = {name: _between(opened[name].columns, neurons, inside_rows=True) for name in block.mlp_inputs}
    kept[block.mlp_output] = _between(output.rows, neurons, inside_rows=False)
    return kept


def _between(outside: Tensor, inside: Tensor, inside_rows: bool) -> Kept:
    """A layer with one side inside its block, where the layout shrinks too, and one at the residual stream."""
    full = torch.ones_like(outside)
    return Kept(inside, outside, inside, full) if inside_rows else Kept(outside, inside, full, inside)


def _kept_attention(block: BlockStructure, opened: Mapping[str, Open]) -> dict[str, Kept]:
    query, key, value, output = (opened[name] for name in block.attention)
    groups, sharing, dim = block.key_value_heads, block.heads // block.key_value_heads, block.head_dim
    # (groups, sharing, dim) for what belongs to query heads, (groups, 1, dim) for keys and values.
    values = value.rows.view(groups, 1, dim)
    read = output.columns.view(groups, sharing, dim) & values
    values = read.any(1, keepdim=True)
    alive = read.any(2, keepdim=True)  # a query head that gives something
    queries = query.rows.view(groups, sharing, dim) & alive
    keys = key.rows.view(groups, 1, dim) & alive.any(1, keepdim=True)
    # A product of query and key is zero if either is. Rotary positions mix a dimension with its partner.
    partner_keys, partner_queries = _with_partners(keys, block.rotary), _with_partners(queries, block.rotary)
    queries = queries & partner_keys
    keys = keys & partner_queries.any(1, keepdim=True)
    heads = alive.any(1, keepdim=True).expand(groups, sharing, dim)
    kv_layout, layout = heads[:, :1].flatten(), heads.flatten()
    if not layout.any():  # no head is left: one of zeros keeps the shapes that the model's code expects
        layout, kv_layout = layout.clone(), kv_layout.clone()
        layout[: sharing * dim] = True
        kv_layout[:dim] = True
    everything = torch.ones_like(query.columns)
    return {
        block.query: Kept(queries.flatten(), query.columns, layout, everything),
        block.key: Kept(keys.flatten(), key.columns, kv_layout, everything),
        block.value: Kept(values.flatten(), value.columns, kv_layout, everything),
        block.output: Kept(output.rows, read.flatten(), torch.ones_like(output.rows), layout),
    }


def _with_partners(dimensions: Tensor, rotary: bool) -> Tensor:
    """Whether a dimension of a head, or the one that rotary positions pair it with, is there; (…, dim)."""
    return dimensions | dimensions.roll(dimensions.shape[-1] // 2, -1) if rotary else dimensions


def removed_weights(kept: Mapping[str, Kept]) -> tuple[int, int]:
    """How many of the gated weights leave, and how many there were."""
    total = sum(part.total for part in kept.values())
    return total - sum(part.stored for part in kept.values()), total


def check_not_empty(structure: ModelStructure, kept: Mapping[str, Kept]) -> None:
    """Refuse to empty a layer.

    Raises:
        UserError: naming the first layer of which nothing would be left.
    """
    for name in structure.layers:
        if not kept[name].stored:
            raise UserError(f"Nothing would be left of {name}: choose a smaller target sparsity.")


@dataclass(frozen=True)
class Folded:
    """A layer's weight (out, in) and bias (out,) with its gates multiplied in."""

    weight: Tensor
    bias: Tensor | None


def shrink(
    model: PreTrainedModel,
    structure: ModelStructure,
    folded: Mapping[str, Folded],
    kept: Mapping[str, Kept],
    dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """A copy of a model in which every layer of the structure holds only what is kept.

    Args:
        model: whatever stands in the layers' places is replaced; all other tensors are shared.
        structure: the blocks.
        folded: what each layer computes; what is not kept must not matter (see `kept_parts`).
        kept: what stays.
        dtype: of the stored values.

    Raises:
        UserError: if nothing would be left of a layer.
    """
    check_not_empty(structure, kept)
    layers: dict[str, nn.Module] = {}
    for name in structure.layers:
        part, whole = kept[name], folded[name]
        layers[name] = ShrunkLinear(
            whole.weight, whole.bias, part.rows, part.columns, part.row_layout, part.column_layout, dtype
        )
    return compressed_copy(model, layers)


def shrink_units(
    model: PreTrainedModel, structure: ModelStructure, heads: list[Tensor], neurons: list[Tensor]
) -> PreTrainedModel:
    """A copy of a plain model without some whole heads and neurons.

    Args:
        model: with linear layers in all places of the structure.
        structure: the blocks.
        heads: for each block boolean (key_value_heads,): which groups of heads stay.
        neurons: for each block boolean (neurons,): which neurons stay.

    Raises:
        UserError: if nothing would be left of a layer.
    """
    opened = all_open(model, structure)
    for block, stay_heads, stay_neurons in zip(structure.blocks, heads, neurons, strict=True):
        width = block.heads // block.key_value_heads * block.head_dim
        opened[block.output] = Open(opened[block.output].rows, stay_heads.repeat_interleave(width))
        opened[block.mlp_output] = Open(opened[block.mlp_output].rows, stay_neurons)
    folded = {name: folded_linear(model, name) for name in structure.layers}
    return shrink(model, structure, folded, kept_parts(structure, opened))


def folded_linear(model: nn.Module, name: str) -> Folded:
    """A plain layer as it is."""
    layer = linear(model, name)
    return Folded(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())
