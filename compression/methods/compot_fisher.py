"""Fisher-weighted COMPOT: the sparse dictionary spends its nonzeros where the loss minds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compression import accounting
from compression.calibration import OUTPUT_DAMPING, SiteStatistics
from compression.linalg import INITIAL_DAMPING
from compression.methods.base import SiteResult, register, setting
from compression.methods.compot import factorise
from compression.methods.dictionary import (
    DictionaryMethod,
    code_once,
    factor_notes,
    refit_dictionary,
    singular_coordinates,
)
from compression.modules import DictionaryLinear


@register
@dataclass(frozen=True)
class COMPOTFisher(DictionaryMethod):
    """COMPOT on ``LᵀA diag(√h)``, h = diag(H), then a ridge refit of the dictionary; S is divided by √h at the end.

    H is the Gram matrix of the output gradients: an output whose error costs more loss gets its column weighted more.
    Only the diagonal is used here: refitting under the full H lowers the prediction and not the measured perplexity.
    """

    name = "compot-fisher"
    title = "Fisher-weighted COMPOT"
    description = "COMPOT with every output weighted by how much the loss minds its error, and a refitted dictionary."
    source = "this project, on COMPOT (2602.15200); ridge refit as in ROCKET (2602.11008)"
    uses_gradients = True
    own_policy = "fisher"

    iterations: int = setting(5, "Alternations", 0, 200)
    atoms_per_nonzero: float = setting(2.0, "Atoms per nonzero (k/s)", 1.0, 8.0)
    damping: float = setting(INITIAL_DAMPING, "Damping of the input Gram matrix", 1e-12, 1.0)
    output_damping: float = setting(OUTPUT_DAMPING, "Damping of the output weights", 1e-6, 10.0)
    ridge: float = setting(1e-3, "Ridge of the dictionary refit", 1e-9, 1.0)
    recalibrate: int = setting(0, "Collect inputs again behind compressed blocks (1: yes)", 0, 1)

    def compress(
        self, weight: Tensor, bias: Tensor | None, statistics: SiteStatistics | None, removed_fraction: float
    ) -> SiteResult:
        """Factor the weighted, whitened target in float32, refit and un-whiten in float64, store in 16 bits."""
        assert statistics is not None
        out_features, in_features = weight.shape
        size = accounting.dictionary_size_for(out_features, in_features, removed_fraction, self.atoms_per_nonzero)
        whitening = statistics.whitening(self.damping)
        weights = self._column_weights(statistics)
        target = (whitening.whiten(weight.T) * weights).to(torch.float32)
        factors = factorise(target, size.num_atoms, size.nonzeros_per_column, self.iterations)
        dictionary = whitening.unwhiten(refit_dictionary(target, factors.codes, self.ridge))
        codes = factors.codes.double() / weights[:, None]
        layer = DictionaryLinear(dictionary, codes, factors.mask, bias)
        return SiteResult(layer, factors.convergence, factor_notes(whitening, self.damping, size))

    def coded_once(
        self, weight: Tensor, statistics: SiteStatistics, fractions: tuple[float, ...]
    ) -> tuple[Tensor, Tensor]:
        """In the weighted space; energies are divided by the weights' squares at the end."""
        weights = self._column_weights(statistics)
        target = statistics.whitening(self.damping).whiten(weight.T) * weights
        energies, lost = code_once(singular_coordinates(target), len(target), fractions, (self.atoms_per_nonzero,))
        return energies / weights.square(), lost / weights.square()

    def _column_weights(self, statistics: SiteStatistics) -> Tensor:
        """``√h`` scaled to mean 1, (n,): gradients are tiny, and float32 squares must not underflow."""
        weights = statistics.column_weights(self.output_damping)
        return weights / weights.mean()
