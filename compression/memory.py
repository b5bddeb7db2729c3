"""How much memory each phase needs, from the shapes alone: whether a model will fit before anything is loaded.

Everything that grows with the depth of the model is on disk or in 16 bits; what stays is the dense model in float32,
the hidden states on their way, and the statistics and factorisations of one block. ``bench memory`` sets this beside
what the operating system measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from compression.types import LinearSite

FLOAT = 4
DOUBLE = 8
HEAD_TOKENS = 128
"""Tokens whose logits are in memory at a time when gradients are taken."""
STORED = 2
RUNTIME = 600 * 2**20
"""Python, torch, transformers and their libraries, in bytes (measured: 0.55 to 0.6 GiB)."""


@dataclass(frozen=True)
class ModelShape:
    """What the memory of a model depends on.

    Attributes:
        num_parameters: all parameters, tied ones once.
        width: size of the hidden states.
        vocabulary: number of logits a token.
        sites: the compressible layers.
    """

    num_parameters: int
    width: int
    vocabulary: int
    sites: tuple[LinearSite, ...]

    @property
    def site_weights(self) -> int:
        """Number of weights in the compressible layers."""
        return sum(site.num_weights for site in self.sites)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len({site.block for site in self.sites})


@dataclass(frozen=True)
class MemoryNeed:
    """Peak bytes of each phase, the dense model and the runtime included."""

    calibrate: int
    gradients: int
    compress: int
    evaluate: int

    @property
    def peak(self) -> int:
        """The largest."""
        return max(self.calibrate, self.gradients, self.compress, self.evaluate)


def memory_need(
    shape: ModelShape,
    tokens: int,
    gradient_tokens: int,
    batch_tokens: int = 1024,
    window: int = 1024,
    workers: int = 2,
    removed_fraction: float = 0.2,
    full_output_limit: int = 4096,
    streamed: bool = False,
) -> MemoryNeed:
    """Peak memory of every phase.

    Args:
        shape: the model.
        tokens: calibration tokens.
        gradient_tokens: tokens behind the output gradients.
        batch_tokens: tokens in one forward pass.
        window: tokens of an evaluation window.
        workers: sites that are factorised side by side.
        removed_fraction: of the compressed model.
        full_output_limit: out_features up to which output-gradient Grams are kept whole.
        streamed: whether weights, and whatever else grows with the depth, stay in files (`compression.streamed`).
    """
    blocks = sorted({site.block for site in shape.sites})
    members = [[site for site in shape.sites if site.block == block] for block in blocks]
    weights = max(sum(site.num_weights for site in block) for block in members) if streamed else shape.num_parameters
    if streamed:  # the embedding, or the head of the same size, and one block
        weights += shape.vocabulary * shape.width
    fixed = RUNTIME + FLOAT * weights
    groups = [{site.input_group: site.in_features for site in block}.values() for block in members]
    grams = FLOAT * max(sum(size * size for size in block) for block in groups)
    outputs = [[site.out_features for site in block if site.out_features <= full_output_limit] for block in members]
    output_grams = FLOAT * max(sum(size * size for size in block) for block in outputs)
    activations = FLOAT * batch_tokens * max(sum(s.in_features + s.out_features for s in block) for block in members)
    hidden = FLOAT * shape.width
    logits = FLOAT * shape.vocabulary
    # Beside the sum, one product of the same size is made; twice the widest Gram covers it.
    widest = FLOAT * max(site.in_features for site in shape.sites) ** 2
    calibrate = fixed + hidden * tokens + activations + grams + widest
    # Kept: what stands before every block and what arrives from above. A block runs again with its graph; the head
    # holds logits, their float copy, log-probabilities and gradient.
    graph = 2 * activations + output_grams + FLOAT * max((max(b, default=0) for b in outputs), default=0) ** 2
    head = 4 * logits * HEAD_TOKENS
    standing = 3 if streamed else shape.depth + 2
    gradients = fixed + hidden * gradient_tokens * standing + max(graph, head)
    compress = fixed + workers * max(_factorisation(site) for site in shape.sites)
    held = max(sum(site.num_weights for site in block) for block in members) if streamed else shape.site_weights
    stored = STORED * held * (1 - removed_fraction)
    expanded = FLOAT * held
    evaluate = fixed + stored + expanded + FLOAT * window * shape.width * 8 + 3 * logits * window
    return MemoryNeed(calibrate, gradients, round(compress + stored), round(evaluate))


def _factorisation(site: LinearSite) -> int:
    """G in float32 and float64, its factor, and six float64 matrices as large as the weight or its smaller Gram."""
    inputs, outputs = site.in_features, site.out_features
    smaller = min(inputs, outputs)
    return (FLOAT + 2 * DOUBLE) * inputs * inputs + 6 * DOUBLE * inputs * outputs + 4 * DOUBLE * smaller * smaller
