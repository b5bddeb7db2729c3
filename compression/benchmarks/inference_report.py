"""What ``bench inference`` reports: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compression.types import Environment, LatencyFigure


@dataclass(frozen=True)
class Work:
    """FLOPs and bytes of some layers, dense and compressed.

    Attributes:
        dense_flops: a token, 2·m·n a layer.
        flops: a token, of the representation: zeros of a dictionary layer skipped, as papers count.
        executed_flops: a token, of the products that run: padding, filled-in zeros and merging included.
        flop_ratio: dense_flops ÷ flops.
        executed_flop_ratio: dense_flops ÷ executed_flops.
        dense_bytes_read: weights read in a forward pass, in the precision of the computation.
        bytes_read: the same for the compressed layers.
        byte_ratio: dense_bytes_read ÷ bytes_read.
        dense_resident_bytes: what the dense layers hold in memory, biases included.
        resident_bytes: what the compressed layers hold while they run: expanded copies, 16-bit buffers, biases.
        dense_stored_bytes: 16 bits a weight.
        stored_bytes: of the saved tensors, biases left out.
    """

    dense_flops: int
    flops: int
    executed_flops: int
    flop_ratio: float
    executed_flop_ratio: float
    dense_bytes_read: int
    bytes_read: int
    byte_ratio: float
    dense_resident_bytes: int
    resident_bytes: int
    dense_stored_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class Timing:
    """Dense and compressed, interleaved.

    Attributes:
        dense: milliseconds of the dense layers.
        compressed: milliseconds of the compressed ones.
        speed_ratio: dense time ÷ compressed time; above 1 is faster than dense.
        realised_share: speed ratio ÷ what was promised: FLOP ratio in prefill, byte ratio in decode.
        executed_share: speed ratio ÷ executed FLOP ratio in prefill; in decode the realised share.
    """

    dense: LatencyFigure
    compressed: LatencyFigure
    speed_ratio: float
    realised_share: float
    executed_share: float


@dataclass(frozen=True)
class LayerBenchmark:
    """The layers of one shape, or all of them.

    Attributes:
        label: ``out × in``, or ``all compressible layers``.
        layers: how many the model has; work and times are of all of them.
        timed_layers: how many were timed; times of the others are extrapolated.
        projections: which they are.
        sizes: rank, or atoms and nonzeros, as text; empty where they differ.
        execution: form → number of layers that run in it (``factored``, ``merged`` or ``dense``).
        work: FLOPs and bytes.
        prefill: all prompt tokens at once.
        decode: one token.
        remarks: where smaller is not faster, or not smaller in memory, one sentence each.
    """

    label: str
    layers: int
    timed_layers: int
    projections: tuple[str, ...]
    sizes: str
    execution: dict[str, int]
    work: Work
    prefill: Timing
    decode: Timing
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ModelBenchmark:
    """The whole model; ratios are against the FLOPs and bytes of its compressible layers.

    Attributes:
        prefill: all prompt tokens at once.
        decode: one token, cache filled with the prompt.
        dense_resident_bytes: what the dense model holds in memory.
        resident_bytes: what the compressed model holds while it runs.
        dense_layer_share: share of the dense prefill that the compressible layers take.
        possible_speed_ratio: speed ratio of the prefill if the rest takes as long as in the dense model (Amdahl).
        execution: how the layers compute, in words.
        remarks: what the rest of the model does to the ratio.
    """

    prefill: Timing
    decode: Timing
    dense_resident_bytes: int
    resident_bytes: int
    dense_layer_share: float
    possible_speed_ratio: float
    execution: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class MethodBenchmark:
    """One method at one budget.

    Attributes:
        method: its name.
        settings: its settings.
        removed_fraction: over the compressible layers, as stored.
        shapes: one for each distinct layer shape, in model order.
        total: their sum.
        model: the whole model.
    """

    method: str
    settings: dict[str, Any]
    removed_fraction: float
    shapes: tuple[LayerBenchmark, ...]
    total: LayerBenchmark
    model: ModelBenchmark


@dataclass(frozen=True)
class InferenceBenchmark:
    """What ``bench inference --json`` writes.

    Attributes:
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        removed_fraction: what was asked for, the same at every layer.
        prompt_tokens: tokens in a prefill.
        decode_tokens: single-token steps in a row; decode figures are milliseconds *a token*.
        repeats: rounds.
        threads: torch's.
        methods: one for each method.
        notes: how it was measured, one sentence each.
        environment: where.
    """

    model_id: str
    model_note: str
    weights_hash: str
    removed_fraction: float
    prompt_tokens: int
    decode_tokens: int
    repeats: int
    threads: int
    methods: tuple[MethodBenchmark, ...]
    notes: tuple[str, ...]
    environment: Environment
