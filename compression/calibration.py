"""Calibration statistics: what goes into every site (input Grams) and how the loss answers (output-gradient Grams).

Both go through the model block by block (`compression.streams`), so that the statistics of one block are in memory at a
time.

Three disjoint parts of one calibration text serve three purposes (`split_text`): inputs, gradients, and a probe that
no statistic has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel

from compression.errors import UserError
from compression.linalg import INITIAL_DAMPING, Whitening, shrinkage_damping
from compression.mapped import aside
from compression.streams import BlockStream, SeenEnough, Sequences, open_stream
from compression.types import CalibrationSettings, LinearSite, Progress

OUTPUT_DAMPING = 0.3
"""Damping of an output-gradient Gram matrix, share of its mean diagonal: shrinkage towards minding every output.

Measured at 0.2 removed, on text of other subjects, with 4000 gradient tokens: 0.01 forgets outputs that the text
happened not to need (compot-fisher + 0.39 nats, svd-fisher + 0.55), 0.3 less (+ 0.25, + 0.43); with 8000 tokens of
twice as many places in the text it makes no difference."""
MAX_FULL_OUTPUT = 4096
"""Largest out_features whose output-gradient Gram matrix is kept whole; above it only the diagonal is."""
GRADIENT_LENGTH = 256
"""Longest sequence for output gradients: many short ones see more subjects than few long ones, for the same work."""
PROBE_ZONES = 4
"""Stretches of text kept for the probe: long ones, so that most of their articles are strange to the statistics. (With
24 short ones the probe's articles were half known, and the forecast for other text was a fifth too low.)"""
PROBE_WINDOWS = (24, 8)
"""Windows of the probe in all: many where the text has room for them."""
PROBE_WINDOW = 512


@dataclass(frozen=True)
class TextSplit:
    """Disjoint parts of one tokenised text.

    Attributes:
        inputs: for the input Grams, (num_sequences, sequence_length).
        gradients: for the output-gradient Grams, (gradient_sequences, at most `GRADIENT_LENGTH`); None if the text is
            too short.
        probes: kept out of every statistic, (windows, window); None if the text is too short.
    """

    inputs: Tensor
    gradients: Tensor | None
    probes: Tensor | None


def split_text(tokens: Tensor, settings: CalibrationSettings, context: int | None = None) -> TextSplit:
    """Spread the sequences evenly over the whole text, so that they see as many of its subjects as possible.

    (The first 32 sequences of WikiText-2's validation text never say *she*: a model calibrated on them loses the word,
    and perplexity on an article about a woman triples.) A text long enough is cut into four equal parts; the last
    quarter of each, or as much as can be spared, is kept for probe windows, and sequences come from the rest. A seed
    other than 0 moves every sequence at random within its stretch of text.

    Args:
        tokens: the whole text, (tokens,).
        settings: how many sequences, how long.
        context: the model's longest input; probe windows are no longer.

    Raises:
        UserError: if the text is too short for the input sequences.
    """
    length = settings.sequence_length
    units = len(tokens) // length
    if units < settings.num_sequences:
        raise UserError(
            f"The calibration text has {len(tokens)} tokens, enough for {units} of {settings.num_sequences} sequences "
            f"of {length}; give a longer text, or fewer or shorter sequences."
        )
    pieces = tokens[: units * length].view(units, length)
    wanted = settings.num_sequences + settings.gradient_sequences
    generator = torch.Generator().manual_seed(settings.seed) if settings.seed else None
    if units < wanted:
        return TextSplit(pieces[spread(settings.num_sequences, units, generator)], None, None)
    window = min(PROBE_WINDOW, context or PROBE_WINDOW)
    window_units = -(-window // length)
    count = next((count for count in PROBE_WINDOWS if units - count * window_units >= wanted), 0)
    each = count // PROBE_ZONES
    zone = each * window_units
    if count and units - PROBE_ZONES * (units // PROBE_ZONES // 4) >= wanted:
        zone = max(zone, units // PROBE_ZONES // 4)
    ends = [(part + 1) * units // PROBE_ZONES for part in range(PROBE_ZONES)]
    reserved = {unit for end in ends for unit in range(end - zone, end)}
    free = torch.tensor([unit for unit in range(units) if unit not in reserved])
    chosen = free[spread(wanted, len(free), generator)]
    is_gradient = torch.zeros(wanted, dtype=torch.bool)
    is_gradient[spread(settings.gradient_sequences, wanted, None)] = True
    probes = None
    if count:
        margin = (zone // each - window_units) // 2
        starts = [(end - zone + i * zone // each + margin) * length for end in ends for i in range(each)]
        probes = torch.stack([tokens[start : start + window] for start in starts])
    return TextSplit(pieces[chosen[~is_gradient]], pieces[chosen[is_gradient]][:, :GRADIENT_LENGTH], probes)


def spread(count: int, total: int, generator: torch.Generator | None) -> Tensor:
    """Choose `count` of 0 … total − 1: the middle, or a random place, of each of `count` equal parts."""
    if generator is None:
        return torch.tensor([(2 * i + 1) * total // (2 * count) for i in range(count)], dtype=torch.int64)
    bounds = [(-(-i * total // count), -(-(i + 1) * total // count)) for i in range(count)]
    chosen = [int(torch.randint(low, high, (1,), generator=generator)) for low, high in bounds]
    return torch.tensor(chosen, dtype=torch.int64)


def too_short(what: str, tokens: int, settings: CalibrationSettings, context: int | None = None) -> UserError:
    """The error for a text that has no room for `what` (gradients or a probe)."""
    needed = (settings.num_sequences + settings.gradient_sequences) * settings.sequence_length
    if what == "a probe":
        window = min(PROBE_WINDOW, context or PROBE_WINDOW)
        needed += PROBE_WINDOWS[-1] * -(-window // settings.sequence_length) * settings.sequence_length
    return UserError(
        f"The calibration text has {tokens} tokens, too few to keep {what} apart from the input statistics: at least "
        f"{needed} are needed ({settings.num_sequences} + {settings.gradient_sequences} sequences of "
        f"{settings.sequence_length}{' and the probe' if what == 'a probe' else ''}); give a longer text, or fewer or "
        "shorter sequences."
    )


@dataclass(frozen=True)
class Calibration:
    """Input Gram matrices ``G = Σ x xᵀ`` (sums over positions), one for each input group.

    Attributes:
        grams: input group → (m, m), float32; may read from disk.
        num_positions: input group → positions behind its Gram matrix.
        fingerprint: content key of weights, tokens and code version.
        seconds: time the passes took.
        reused: whether it was read from the cache.
        magnitudes: input group → (m,), float32, sum of |x| over positions; may read from disk.
    """

    grams: Mapping[str, Tensor]
    num_positions: dict[str, int]
    fingerprint: str
    seconds: float
    reused: bool = False
    magnitudes: Mapping[str, Tensor] = field(default_factory=dict)

    def statistics(self, input_group: str) -> SiteStatistics:
        """What a method may use for the sites of one input group."""
        positions = self.num_positions[input_group]
        magnitude = self.magnitudes[input_group] / positions if input_group in self.magnitudes else None
        return SiteStatistics(self.grams[input_group], positions, mean_magnitude=magnitude)


@dataclass(frozen=True)
class Gradients:
    """Output-gradient Gram matrices ``H = Σ g gᵀ``, one for each site: the empirical Fisher's output side.

    g is the gradient of the loss, *summed* over the scored tokens of a sequence, with respect to the site's output.

    Attributes:
        output_grams: site name → (n, n), or the diagonal (n,) above `MAX_FULL_OUTPUT`; float32; may read from disk.
        num_scored: scored tokens behind them.
        fingerprint: content key of weights, tokens and code version.
        seconds: time the passes took.
        reused: whether it was read from the cache.
        row_fishers: site name → (m,), float32: the empirical Fisher information of the weights, ``Σ (∂L/∂A_ij)²`` over
            sequences and outputs j, for each input i; may read from disk.
    """

    output_grams: Mapping[str, Tensor]
    num_scored: int
    fingerprint: str
    seconds: float
    reused: bool = False
    row_fishers: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteStatistics:
    """Calibration statistics of one site; the factorisation of its input side is made once and shared by its group.

    Attributes:
        gram: G, (m, m), sum over positions.
        num_tokens: positions behind it, N_G.
        output_gram: H, (n, n) or its diagonal (n,); None where no gradients were taken.
        num_scored: scored tokens behind it, N_H.
        mean_magnitude: E|x| of each input, (m,).
        row_fisher: empirical Fisher information of the weights, summed over each input's outputs, (m,).
        observed: what `CompressionMethod.observe` made of the site's inputs; None where nobody looked.
    """

    gram: Tensor
    num_tokens: int
    output_gram: Tensor | None = None
    num_scored: int = 0
    mean_magnitude: Tensor | None = None
    row_fisher: Tensor | None = None
    observed: Tensor | None = None
    _factors: dict[float, Whitening] = field(default_factory=dict, repr=False, compare=False)

    def with_outputs(self, gradients: Gradients | None, site: str) -> SiteStatistics:
        """The same input side with the output side of one site."""
        if gradients is None:
            return self
        return replace(
            self,
            output_gram=gradients.output_grams[site],
            num_scored=gradients.num_scored,
            row_fisher=gradients.row_fishers.get(site),
        )

    def whitening(self, damping_fraction: float = INITIAL_DAMPING) -> Whitening:
        """Damped Cholesky factor of G.

        With fewer positions than inputs G is singular: directions that the calibration happened not to use would be
        free, and a model that meets them afterwards breaks. Then as much is added as shrinkage asks for.
        """
        if damping_fraction not in self._factors:
            damping = damping_fraction
            if self.num_tokens < len(self.gram):
                damping = max(damping, shrinkage_damping(self.gram, self.num_tokens))
            self._factors[damping_fraction] = Whitening.from_gram(self.gram, damping)
        return self._factors[damping_fraction]

    def output_whitening(self, damping_fraction: float = OUTPUT_DAMPING) -> Whitening:
        """Damped Cholesky factor of H."""
        assert self.output_gram is not None
        return Whitening.from_gram(self.output_gram, damping_fraction)

    def column_weights(self, damping_fraction: float = OUTPUT_DAMPING) -> Tensor:
        """``√diag(H)``, damped, (n,), float64: how much the loss minds an error in each output."""
        assert self.output_gram is not None
        diagonal = self.output_gram if self.output_gram.ndim == 1 else self.output_gram.diagonal()
        return Whitening.from_gram(diagonal, damping_fraction).cholesky_factor

    def loss_scale(self) -> float:
        """``1 ÷ (2 N_G N_H)``: what turns ``tr(G ΔA H ΔAᵀ)`` into a change of the mean loss a token, in nats."""
        return 0.5 / (self.num_tokens * self.num_scored)


def collect(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    sequences: Sequences,
    fingerprint: str = "",
    grams: MutableMapping[str, Tensor] | None = None,
    magnitudes: MutableMapping[str, Tensor] | None = None,
) -> Generator[Progress, None, Calibration]:
    """Run the blocks over the sequences (no head) and sum up what each input group reads, block by block.

    Sums are kept in float32 on the device of the model.

    Args:
        model: dense model.
        sites: its sites.
        sequences: token ids, (num_sequences, sequence_length), or recordings with their transcripts.
        fingerprint: content key to carry along.
        grams: where the matrices go; a dictionary by default.
        magnitudes: where the sums of magnitudes go; a dictionary by default.
    """
    started = time.perf_counter()
    stored: MutableMapping[str, Tensor] = {} if grams is None else grams
    summed: MutableMapping[str, Tensor] = {} if magnitudes is None else magnitudes
    positions: dict[str, int] = {}
    stream = open_stream(model, sequences)
    yield from stream.start()
    for index, block in enumerate(stream.blocks):
        # What several blocks read (a speech model's encoder output) is summed up in the first of them.
        sums = InputSums([site for site in block.sites(sites) if site.input_group not in positions])
        sums.run(stream, index)
        for group, gram in sums.grams.items():
            stored[group] = gram
            summed[group] = sums.magnitudes[group]
            positions[group] = sums.positions[group]
        yield Progress("calibrate", index + 1, len(stream.blocks), f"calibration: block {index + 1}")
    return Calibration(stored, positions, fingerprint, time.perf_counter() - started, magnitudes=summed)


class InputSums:
    """Running Gram matrices and sums of magnitudes of the inputs of some sites, one for each input group."""

    def __init__(self, sites: list[LinearSite]) -> None:
        """Start with nothing seen."""
        self._first_of_group = {site.input_group: site for site in reversed(sites)}
        self.grams: dict[str, Tensor] = {}
        self.magnitudes: dict[str, Tensor] = {}
        self.positions: dict[str, int] = {}

    def run(self, stream: BlockStream, index: int) -> None:
        """Take a stream through one block, and sum up whatever the sites read on the way, at positions that count."""

        def add(group: str, inputs: Tensor) -> None:
            self._add(group, stream.counted(inputs.detach().float()))

        with observed_inputs(stream.model, self._first_of_group, add):
            stream.run(index)

    def look(self, stream: BlockStream, index: int, block: nn.Module) -> None:
        """Sum up what the sites, of one input group, read in another block in the place of one of the stream's.

        Nothing behind them runs, and the stream stays where it is.
        """
        path = stream.blocks[index].path
        ((group, site),) = self._first_of_group.items()

        def add(group: str, inputs: Tensor) -> None:
            self._add(group, stream.counted(inputs.detach().float()))
            raise SeenEnough

        with observed_inputs(block, {group: replace(site, name=site.name.removeprefix(f"{path}."))}, add):
            stream.look(index, block)

    def _add(self, group: str, rows: Tensor) -> None:
        self.positions[group] = self.positions.get(group, 0) + len(rows)
        if group in self.grams:
            self.grams[group].addmm_(rows.T, rows)
            self.magnitudes[group] += rows.abs().sum(0)
        else:
            self.grams[group] = rows.T @ rows
            self.magnitudes[group] = rows.abs().sum(0)


def collect_gradients(
    model: PreTrainedModel,
    sites: tuple[LinearSite, ...],
    sequences: Sequences,
    fingerprint: str = "",
    output_grams: MutableMapping[str, Tensor] | None = None,
    row_fishers: MutableMapping[str, Tensor] | None = None,
) -> Generator[Progress, None, Gradients]:
    """One forward and one backward pass that sum up the Gram matrix of every site's output gradients.

    And, beside it, the squares of its weight gradients, sequence by sequence.

    Args:
        model: dense model.
        sites: its sites.
        sequences: token ids, (num_sequences, sequence_length), of which every token but the first of a sequence is
            scored; or recordings, of which the transcript and the end token are.
        fingerprint: content key to carry along.
        output_grams: where the matrices go; a dictionary by default.
        row_fishers: where the sums of squared weight gradients go; a dictionary by default.

    Source: the Kronecker factors of K-FAC (1503.05671) with true labels (the empirical Fisher); streaming is ours.
    """
    started = time.perf_counter()
    stored: MutableMapping[str, Tensor] = {} if output_grams is None else output_grams
    fishers: MutableMapping[str, Tensor] = {} if row_fishers is None else row_fishers
    stream = open_stream(model, sequences)
    yield from stream.start()
    depth = len(stream.blocks)
    before: list[list[Tensor]] = []
    for index in range(depth):
        before.append(aside(model, stream.hidden))
        stream.run(index)
        yield Progress("gradients", index + 1, 2 * depth, f"gradients: forward, block {index + 1}")
    stream.turn_back()
    for index in reversed(range(depth)):
        sums: dict[str, Tensor] = {}
        squares: dict[str, Tensor] = {}
        with _observed_output_gradients(stream, stream.blocks[index].sites(sites), sums, squares):
            stream.run_back(index, before[index])
        before.pop()
        for name, gram in sums.items():
            stored[name] = gram
            fishers[name] = squares[name]
        yield Progress("gradients", 2 * depth - index, 2 * depth, f"gradients: backward, block {index + 1}")
    return Gradients(stored, stream.num_scored, fingerprint, time.perf_counter() - started, row_fishers=fishers)


@contextmanager
def _observed_output_gradients(
    stream: BlockStream, sites: list[LinearSite], sums: dict[str, Tensor], squares: dict[str, Tensor]
) -> Iterator[None]:
    """While gradients flow, sum up for every site its outputs' ``g gᵀ`` and its weights' squared gradients.

    Args:
        stream: what runs.
        sites: which sites.
        sums: gets g gᵀ, (n, n), or g² above `MAX_FULL_OUTPUT`, (n,).
        squares: gets for each input the squares of ``Xᵀ G`` of every sequence, summed over outputs, (m,).
    """

    def hook_for(site: LinearSite) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            entering = stream.by_sequence(inputs[0].detach().float())

            def add(gradient: Tensor) -> None:
                gradient = gradient.detach().float()
                rows = stream.counted(gradient)
                product = rows.T @ rows if site.out_features <= MAX_FULL_OUTPUT else rows.square().sum(0)
                sums[site.name] = sums[site.name].add_(product) if site.name in sums else product
                along = stream.by_sequence(gradient)
                square = torch.bmm(entering.transpose(1, 2), along).square_().sum((0, 2))
                squares[site.name] = squares[site.name].add_(square) if site.name in squares else square

            output.register_hook(add)

        return hook

    handles = [stream.model.get_submodule(site.name).register_forward_hook(hook_for(site)) for site in sites]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def observed_inputs(
    model: nn.Module, sites: dict[str, LinearSite], observe: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Call ``observe(key, input)`` whenever a site runs; hooks go away on exit, whatever happens."""

    def hook_for(key: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            observe(key, inputs[0])

        return hook

    handles = [model.get_submodule(site.name).register_forward_pre_hook(hook_for(key)) for key, site in sites.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
