"""What the training loop needs to let one model learn from another: the loss, and the student in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from compression.adaptation.base import Adapter, Batch, Setup
from compression.adaptation.problems import LanguageModelling
from compression.distillation.layers import Trainable, WithAdapter, trainable_factors
from compression.errors import UserError
from compression.modules import ShrunkLinear
from compression.sites import compressed_copy
from compression.types import LinearSite, TextSource


class Distillation(LanguageModelling):
    """``α·T²·KL(teacher ‖ student) + (1 − α)·CE`` on the next token, in nats a token.

    Models of one tokenizer may have logits of different widths: those beyond its tokens are padding. The distance is
    between distributions over the tokens that both have, the first ones, which are all that the tokenizer gives.

    Source: Distilling the knowledge in a neural network (1503.02531), section 2; settings as in 2601.09865.
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        sequences: Tensor,
        evaluation: Tensor,
        source: TextSource,
        batch_size: int,
        seed: int,
        window: int,
        max_windows: int | None,
        alpha: float,
        temperature: float,
    ) -> None:
        """Take token ids to train and to measure on, as `LanguageModelling` does; the teacher is not changed."""
        super().__init__(sequences, evaluation, source, batch_size, seed, window, max_windows, one_by_one=True)
        self._teacher, self._alpha, self._temperature = teacher, alpha, temperature

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mixture of both losses."""
        tokens = batch["input_ids"]
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1).float()
        loss = F.cross_entropy(logits, tokens[:, 1:].flatten())
        if not self._alpha:
            return loss
        with torch.no_grad():
            taught = self._teacher(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1).float()
        t, width = self._temperature, min(logits.shape[-1], taught.shape[-1])
        learned, wanted = (F.log_softmax(each[:, :width] / t, -1) for each in (logits, taught))
        distance = F.kl_div(learned, wanted, reduction="batchmean", log_target=True)
        return self._alpha * t * t * distance + (1 - self._alpha) * loss


class StudentAdapter(Adapter):
    """A student in training."""

    def __init__(
        self, setup: Setup, sites: Sequence[LinearSite], what: str, rank: int, alpha: float, floats: torch.dtype
    ) -> None:
        """Put trainable layers in place.

        Args:
            setup: the student; it is changed.
            sites: its layers.
            what: of `compression.distillation.report.WHAT`.
            rank: of the adapters.
            alpha: α of the adapters, divided by the rank.
            floats: 16-bit type in which the student's dense layers are stored.

        Raises:
            UserError: for a student without factors, or adapters for one without some rows and columns.
        """
        super().__init__(setup)
        self.model.requires_grad_(False)
        self.trained: dict[str, Trainable | WithAdapter] = {}
        for site in sites:
            layer = self.model.get_submodule(site.name)
            if what == "lora":
                if isinstance(layer, ShrunkLinear):
                    raise UserError(
                        f"{site.name} is stored without some rows and columns, and takes no adapter: recover a student "
                        "of dense, low-rank or dictionary layers."
                    )
                self.trained[site.name] = WithAdapter(layer, site.out_features, site.in_features, rank, alpha, floats)
            elif (own := trainable_factors(layer)) is not None:
                self.trained[site.name] = own
        if not self.trained:
            raise UserError("This student has no low-rank or dictionary layers: train adapters instead.")
        for name, layer in self.trained.items():
            self.model.set_submodule(name, layer)

    def deploy(self) -> PreTrainedModel:
        """The student with what it has learned in the layers that are stored."""
        return compressed_copy(self.setup.model, {name: layer.stored() for name, layer in self.trained.items()})
