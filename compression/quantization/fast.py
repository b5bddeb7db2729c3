"""Formats that a CPU computes with as they are stored: smaller, and faster.

Chosen by trying, one token through SmolLM2 (``formats`` measures it). `torch.ops.quantized.linear_dynamic` takes
float32, finds the range of its input, multiplies 8-bit integers and returns float32 in one call of some microseconds.
It is what ``torch.ao``'s dynamic quantisation runs on. The operator packs its weights from a quantised tensor only, and
torch 2.13 warns that a later release will make none: torch is pinned. `torch.ops.aten._weight_int8pack_mm`, which
torch's own compiler calls, stays. It rounds weights alone, needs no text, and wants inputs in bfloat16 (float32 takes
twenty times as long): as fast for the small layers, a third of the speed for the output layer and a fifth for a long
prompt. Both are here. `torch.ops.onednn.qlinear_pointwise` takes inputs that are rounded already: with the operators
that round them it is no faster than float32. torchao's tensors want a compiler.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from compression.accounting import dense_flops
from compression.calibration import observed_inputs
from compression.errors import UserError
from compression.modules import STORAGE_DTYPE, CompressedLinear, padded_size, quantize_columns
from compression.quantization.factors import weight_of
from compression.quantization.layers import QuantizedLinear
from compression.sites import compressed_copy, output_head, read_weight
from compression.types import LinearSite

INT8_BITS = 8
KERNELS = ("x86", "fbgemm", "onednn", "qnnpack")
"""Of torch, for the processors that it knows."""
SMOOTHING = 0.7
"""Share of the inputs' reach that moves into the weights; of 0.5, 0.7 and 0.85 the best on SmolLM2."""
REACH_TOKENS = 2048
SMALLEST_REACH = 1e-4
"""Relative to the largest of a layer."""
LARGEST_LOG = 8.0
WIDE_SUMS = bool(torch.cpu._is_vnni_supported())
"""Whether products of 8-bit integers are summed in 32 bits; where sums of two may overflow 16, inputs get 7 bits."""


class Int8Weight(nn.Module):
    """``scale_i · code_ij ÷ smooth_j``, (rows, columns): codes from −127 to 127, 16-bit scales for rows and columns.

    An input is divided by ``smooth`` before it is rounded, so that no few large columns take the whole range. Where
    inputs are not rounded there is none.

    Source: SmoothQuant (2211.10438), Eq. 4, with one exponent for all layers; the division stays in the layer here.
    """

    def __init__(self, weight: Tensor, reach: Tensor | None = None) -> None:
        """Round a matrix, each row by itself.

        Args:
            weight: (rows, columns).
            reach: largest magnitude of each input, (columns,); None to divide by nothing.
        """
        super().__init__()
        weight = weight.detach().float()
        smooth = None if reach is None else _smooth(weight, reach)
        codes, scales = quantize_columns((weight if smooth is None else weight * smooth.float()).T)
        self.codes: Tensor
        self.scales: Tensor
        self.smooth: Tensor | None
        self.register_buffer("codes", codes.T.contiguous())
        self.register_buffer("scales", scales)
        self.register_buffer("smooth", smooth)

    def dequantized(self) -> Tensor:
        """What it stands for, float32."""
        return self.rows(torch.arange(len(self.codes), device=self.codes.device))

    def rows(self, chosen: Tensor) -> Tensor:
        """What some rows stand for, (..., columns), float32."""
        found = self.codes[chosen].float() * self.scales[chosen].float()[..., None]
        return found if self.smooth is None else found / self.smooth.float()


def _smooth(weight: Tensor, reach: Tensor) -> Tensor:
    """What inputs are divided by, (columns,), geometric mean 1, in values that 16 bits hold."""
    inputs = reach.float().clamp_min(SMALLEST_REACH * float(reach.max().clamp_min(1e-30)))
    weights = weight.abs().amax(0)
    weights = weights.clamp_min(SMALLEST_REACH * float(weights.max().clamp_min(1e-30)))
    logs = SMOOTHING * inputs.log() - (1 - SMOOTHING) * weights.log()
    return (logs - logs.mean()).clamp(-LARGEST_LOG, LARGEST_LOG).exp().to(STORAGE_DTYPE)


class Int8Linear(CompressedLinear):
    """``y = x Ŵᵀ + b`` in 8-bit integers: weights as stored, the input rounded to 8 bits on the way.

    Every call rounds its whole input with one scale, from its smallest to its largest value.
    """

    representation = "int8"

    def __init__(self, weight: Int8Weight, bias: Tensor | None) -> None:
        """Keep the weight, (out, in); several layers may share it."""
        super().__init__(weight.codes.shape[1], weight.codes.shape[0], bias)
        self.weight = weight
        self._running: tuple[Any, Tensor | None] | None = None

    @classmethod
    def empty(cls, in_features: int, out_features: int, bias: Tensor | None, **sizes: int) -> Self:
        """A layer of zeros, with scales for its inputs if `smooth`."""
        reach = torch.ones(in_features) if sizes["smooth"] else None
        return cls(Int8Weight(torch.zeros(out_features, in_features), reach), bias)

    @property
    def inner_size(self) -> int:
        """The outputs: as a product of two factors, one of them would be the identity."""
        return self.out_features

    def spec(self) -> dict[str, int]:
        """Bits of a code, and whether inputs have scales."""
        return {"bits": INT8_BITS, "smooth": int(self.weight.smooth is not None)}

    def usual_execution(self) -> str:
        """``integers``: one product of 8-bit integers."""
        return "integers"

    def flops(self) -> int:
        """One dense product, in integers."""
        return dense_flops(self.out_features, self.in_features)

    def executed_flops(self) -> int:
        """The same."""
        return self.flops()

    def expanded_bytes(self) -> int:
        """Of the packed copy that runs, once it has run: as many as the codes."""
        return 0 if self._running is None else self.weight.codes.numel()

    def resident_bytes(self) -> int:
        """Bytes of the buffers, and of the packed copy once it has run."""
        return super().resident_bytes() + self.expanded_bytes()

    def dense_weight(self) -> Tensor:
        """Ŵ in float32."""
        return self.weight.dequantized()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Ŵ (n, m) and the identity (n, n)."""
        return self.dense_weight(), torch.eye(self.out_features, device=self.weight.scales.device)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in), giving (..., out) in the dtype of `x`.

        Raises:
            UserError: on another device than a CPU.
        """
        if x.device.type != "cpu":
            raise UserError("The int8 format computes on a CPU only: move the model there, or choose another format.")
        running = self._running
        if running is None:
            smooth = self.weight.smooth
            running = self._running = (_pack(self.weight), None if smooth is None else smooth.float().reciprocal())
        packed, inverse = running
        rows = x.float() if inverse is None else x * inverse
        if x.numel() == self.in_features:
            found: Tensor = torch.ops.quantized.linear_dynamic(rows, packed, not WIDE_SUMS)
        elif x.numel():  # the kernel knows one scale a call; rows of equal reach make it one a row
            reach = rows.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
            found = torch.ops.quantized.linear_dynamic(rows / reach, packed, not WIDE_SUMS) * reach
        else:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        if self.bias is not None:
            found += self.bias
        return found if found.dtype is x.dtype else found.to(x.dtype)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._running = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Without the packed copy, which cannot be copied and is made again."""
        return self.__dict__ | {"_running": None}


class Int8WeightLinear(Int8Linear):
    """``y = x Ŵᵀ + b`` with weights in 8 bits and inputs in bfloat16, whatever they arrive in."""

    representation = "int8 weights"

    def usual_execution(self) -> str:
        """``bfloat16``: one product with codes that are expanded in registers."""
        return "bfloat16"

    def expanded_bytes(self) -> int:
        """Of the scales in bfloat16 and codes that were filled up, once it has run; others are read as stored."""
        if self._running is None:
            return 0
        filled = self.weight.codes.shape[0] * padded_size(self.in_features) if self._missing else 0
        return torch.bfloat16.itemsize * self.out_features + filled

    @property
    def _missing(self) -> int:
        """Inputs short of a multiple of 16: the kernel reads so many at a time, past the end if it must."""
        return padded_size(self.in_features) - self.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., in), giving (..., out) in the dtype of `x`.

        Raises:
            UserError: on another device than a CPU.
        """
        if x.device.type != "cpu":
            raise UserError("The int8 format computes on a CPU only: move the model there, or choose another format.")
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        rows, missing = x.reshape(-1, self.in_features).bfloat16(), self._missing
        running = self._running
        if running is None:
            codes = F.pad(self.weight.codes, (0, missing)) if missing else self.weight.codes
            running = self._running = (codes, self.weight.scales.bfloat16())
        if missing:
            rows = F.pad(rows, (0, missing))
        output = torch.ops.aten._weight_int8pack_mm(rows, *running).to(x.dtype)
        output = output.view(*x.shape[:-1], self.out_features)
        return output if self.bias is None else output + self.bias.to(x.dtype)


class Int8Embedding(nn.Module):
    """A table of vectors in 8 bits, which an output layer may share."""

    def __init__(self, weight: Int8Weight) -> None:
        """Keep the table, (tokens, width)."""
        super().__init__()
        self.weight = weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors of some tokens, (..., width), float32."""
        return self.weight.rows(tokens)


def _pack(weight: Int8Weight) -> Any:
    """Codes in the order in which the kernel reads them."""
    rows = len(weight.codes)
    with warnings.catch_warnings():
        # Making such a tensor warns that the interface around it is deprecated; the kernel takes no other.
        warnings.simplefilter("ignore")
        zeros = torch.zeros(rows, dtype=torch.long)
        tensor = torch._make_per_channel_quantized_tensor(weight.codes, weight.scales.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(tensor, None)


def to_int8(model: PreTrainedModel, sites: tuple[LinearSite, ...], sequences: Tensor | None = None) -> PreTrainedModel:
    """A language model whose layers, output layer and embeddings are in 8 bits; all else is shared with the original.

    Where the output layer and the embeddings are one matrix they stay one if weights alone are rounded. If not, the
    embeddings get a table of their own: what smoothing does for the output layer's inputs costs the vectors precision.

    Args:
        model: dense or compressed, in float32; it is not changed.
        sites: its layers; quantised ones are rounded anew, and those compressed otherwise stay as they are.
        sequences: token ids that show how far inputs reach, (sequences, length); `REACH_TOKENS` of them are read. None
            to round weights alone.

    Raises:
        UserError: where this build of torch has no such kernel.
    """
    if sequences is not None and torch.backends.quantized.engine not in KERNELS:
        raise UserError("This build of torch has no 8-bit kernels for this processor: choose another format.")
    names = {id(module): name for name, module in model.named_modules()}
    head, embedding = output_head(model), model.get_input_embeddings()
    rows, columns = read_weight(head).shape
    last = LinearSite(names[id(head)], 0, "head", rows, columns, names[id(head)])
    dense = [s for s in (*sites, last) if _is_one_matrix(model.get_submodule(s.name))]
    reach = {} if sequences is None else _reach(model, dense, sequences)
    layer_type = Int8WeightLinear if sequences is None else Int8Linear
    layers: dict[str, nn.Module] = {}
    for site in dense:
        layer = model.get_submodule(site.name)
        bias = layer.bias.detach() if isinstance(layer.bias, Tensor) else None
        layers[site.name] = layer_type(Int8Weight(weight_of(layer), reach.get(site.name)), bias)
    if isinstance(embedding, nn.Embedding) and embedding.weight is head.weight:
        shared = layers[last.name]
        assert isinstance(shared, Int8Linear)
        table = shared.weight if sequences is None else Int8Weight(embedding.weight)
        layers[names[id(embedding)]] = Int8Embedding(table)
    return compressed_copy(model, layers)


def _is_one_matrix(layer: nn.Module) -> bool:
    return isinstance(layer, QuantizedLinear) or not isinstance(layer, CompressedLinear)


def _reach(model: PreTrainedModel, sites: list[LinearSite], sequences: Tensor) -> dict[str, Tensor]:
    """The largest magnitude of each input of some layers."""
    found: dict[str, Tensor] = {}

    def look(name: str, inputs: Tensor) -> None:
        largest = inputs.detach().abs().flatten(0, -2).amax(0)
        found[name] = torch.maximum(found[name], largest) if name in found else largest

    count = max(1, REACH_TOKENS // sequences.shape[1])
    chosen = sequences[torch.linspace(0, len(sequences) - 1, min(count, len(sequences))).long()]
    with torch.no_grad(), observed_inputs(model, {site.name: site for site in sites}, look):
        for sequence in chosen:
            model(sequence[None], use_cache=False)
    return found


def to_bfloat16(model: PreTrainedModel) -> PreTrainedModel:
    """The whole model in bfloat16; the original is not changed."""
    converted: PreTrainedModel = copy.deepcopy(model)
    return converted.bfloat16()
