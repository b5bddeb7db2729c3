"""GPTQ by llmcompressor, for ``bench gptq``: a script for an environment of its own, which imports nothing from here.

    PYTHON llmcompressor_oracle.py IN OUT BITS GROUP SYMMETRIC ACT_ORDER DAMPING

IN holds for each layer NAME the tensors ``NAME|weight`` (out, in) and ``NAME|gram`` (in, in); OUT gets ``NAME``.
Written for llmcompressor 0.14: scales from the smallest and largest weight of every group, then its `quantize_weight`.
"""

import sys

import torch
from compressed_tensors.quantization import QuantizationArgs  # type: ignore[import-not-found]
from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight  # type: ignore[import-not-found]
from llmcompressor.observers import Observer  # type: ignore[import-not-found]
from safetensors.torch import load_file, save_file


def main() -> None:
    """Quantise every layer of IN."""
    source, target, bits, group, symmetric, act_order, damping = sys.argv[1:]
    tensors = load_file(source)
    made = {}
    for name in sorted({key.rsplit("|", 1)[0] for key in tensors}):
        weight, gram = tensors[f"{name}|weight"].float(), tensors[f"{name}|gram"].float()
        arguments = QuantizationArgs(
            num_bits=int(bits),
            symmetric=symmetric == "1",
            strategy="group" if int(group) else "channel",
            group_size=int(group) or None,
            actorder="static" if act_order == "1" else None,
            observer="memoryless_minmax",
        )
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight.clone()
        observer = Observer.load_from_registry("memoryless_minmax", base_name="weight", args=arguments, module=layer)
        observer(layer.weight.data)
        found = observer.get_qparams()
        quantized, _, _ = quantize_weight(
            weight[None].clone(),
            gram[None].clone(),
            scale=found["scale"][None],
            zero_point=found["zero_point"][None],
            global_scale=None,
            quant_args=arguments,
            percdamp=float(damping),
        )
        made[name] = quantized[0].contiguous()
    save_file(made, target)


if __name__ == "__main__":
    main()
