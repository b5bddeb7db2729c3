"""The precision in which models in training multiply."""

from __future__ import annotations

import torch
from torch import nn


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster: a CPU with AMX or AVX-512 BF16, or a GPU that says so."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16", False) or able.get("avx512_bf16", False))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def products(model: nn.Module) -> torch.autocast:
    """The precision of training: bfloat16 products where they are fast, and float32 for all that is kept or summed.

    A step of a small encoder then takes about half the time on a CPU. What is measured and deployed is float32.
    """
    device = next(model.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device))
