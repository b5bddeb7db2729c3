"""Which rows and columns of every layer an adapted model kept."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from compression.adaptation.structure import structure_of
from compression.adaptation.types import AdaptRun, GateMasks, SiteMask, index_ranges
from compression.errors import UserError
from compression.modules import ShrunkLinear


def masks_of(model: PreTrainedModel, run: AdaptRun) -> GateMasks:
    """What a run removed, layer by layer.

    Args:
        model: what the run deployed.
        run: the run.

    Raises:
        UserError: if nothing was removed from it.
    """
    masks = []
    for name in structure_of(model).layers:
        layer = model.get_submodule(name)
        if not isinstance(layer, ShrunkLinear):
            raise UserError(f"{run.method} removed no rows or columns: give a model that lost some.")
        kept = int(layer.rows.sum()) * int(layer.columns.sum())
        total = layer.in_features * layer.out_features
        shape = layer.out_features, layer.in_features
        masks.append(SiteMask(name, shape, _ranges(layer.rows), _ranges(layer.columns), 1 - kept / total))
    return GateMasks(
        model_id=run.settings.model_id,
        model_note=run.model_note,
        method=run.method,
        target_sparsity=run.settings.target_sparsity,
        removed_fraction=run.removed_fraction,
        masks=tuple(masks),
        environment=run.environment,
    )


def _ranges(kept: Tensor) -> tuple[tuple[int, int], ...]:
    return index_ranges(kept.nonzero()[:, 0].tolist())
