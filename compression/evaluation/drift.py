"""Activation drift: the relative error of the hidden state behind every block, window by window.

The dense model's states of one window are kept, about blocks × positions × width values; the compressed model's are
compared as they arrive and let go. What is summed up are squared norms, and one figure for each position and stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from compression.evaluation.changes_report import DriftReport, DriftStage, StageKind
from compression.sites import output_head, stacks_of


class Drift:
    """Sums up ‖Ĥ − H‖² and ‖H‖² of every stage, and ‖ĥ − h‖ / ‖h‖ of every position, in float64.

    For every window the dense model runs inside of `keeping`, then the compressed one inside of `comparing`.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Begin with nothing; `model` says which stages there are."""
        self._stages: list[tuple[str, StageKind, int | None]] = []
        for stack in stacks_of(model):
            self._stages.append((stack.name, "embeddings", None))
            self._stages += [(stack.name, "block", index) for index in range(len(stack.blocks))]
            self._stages.append((stack.name, "norm", None))
        self._kept: dict[int, Tensor] = {}
        self._errors = [0.0] * len(self._stages)
        self._squares = [0.0] * len(self._stages)
        self._relative: list[list[Tensor]] = [[] for _ in self._stages]

    @contextmanager
    def keeping(self, dense: PreTrainedModel) -> Iterator[None]:
        """Keep the hidden states of one window, (1, positions, width) each, while the dense model runs."""
        self._kept.clear()
        with watched(dense, self._kept.__setitem__):
            yield

    @contextmanager
    def comparing(self, compressed: PreTrainedModel, counts: Mapping[str, int] | None = None) -> Iterator[None]:
        """Compare with them while the compressed model runs on the same window.

        Args:
            compressed: the compressed model.
            counts: stack → how many of its first positions count; all where it is not named.
        """

        def compare(stage: int, states: Tensor) -> None:
            limit = (counts or {}).get(self._stages[stage][0])
            dense = self._kept.pop(stage)[0, :limit].double()
            error = torch.linalg.vector_norm(states[0, :limit].to(dense.device).double() - dense, dim=-1)
            norm = torch.linalg.vector_norm(dense, dim=-1)
            self._errors[stage] += float(error.square().sum())
            self._squares[stage] += float(norm.square().sum())
            # The clamp keeps a state that is all zero, and stays so, at an error of zero.
            self._relative[stage].append((error / norm.clamp_min(torch.finfo(norm.dtype).tiny)).cpu())

        with watched(compressed, compare):
            yield

    def report(self) -> DriftReport:
        """What the windows so far, at least one, amount to."""
        positions: dict[str, int] = {}
        stages = []
        for (stack, kind, block), error, square, relative in zip(
            self._stages, self._errors, self._squares, self._relative, strict=True
        ):
            values = torch.cat(relative)
            positions[stack] = len(values)
            pooled = math.sqrt(error / square) if square else 0.0
            stages.append(DriftStage(stack, kind, block, pooled, float(values.quantile(0.5))))
        return DriftReport(tuple(stages), positions)


@contextmanager
def watched(model: PreTrainedModel, see: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Show the hidden states of every stage while a model runs; afterwards it is as before.

    For each stack in order: what enters its first block, what leaves each block, what leaves its final norm; that of
    the last stack is what enters the output head.

    Args:
        model: a language model or a Whisper.
        see: is called with the number of the stage, from 0, and its states, (batch, positions, width).
    """
    stacks = stacks_of(model)
    with ExitStack() as hooks:

        def entering(module: nn.Module, stage: int) -> None:
            def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
                see(stage, args[0])

            hooks.callback(module.register_forward_pre_hook(hook).remove)

        def leaving(module: nn.Module, stage: int) -> None:
            def hook(_module: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
                see(stage, output if isinstance(output, Tensor) else output[0])

            hooks.callback(module.register_forward_hook(hook).remove)

        stage = 0
        for stack in stacks:
            entering(stack.blocks[0], stage)
            for index, block in enumerate(stack.blocks, stage + 1):
                leaving(block, index)
            stage += len(stack.blocks) + 1
            if stack is stacks[-1]:
                entering(output_head(model), stage)
            else:
                leaving(model.model.encoder.layer_norm, stage)
            stage += 1
        yield
