"""The adaptation methods. Importing this package registers every one of them: add new files to the import below."""

from compression.adaptation.base import METHODS, AdaptationMethod, Adapter, Setup, create_method
from compression.adaptation.methods import (
    apt,
    bitfit,
    finegates,
    full,
    head,
    lora,
    lora_xs,
    maskllm,
    one_shot,
    rocoft,
    two_of_four,
    velora,
    vera,
)

__all__ = [
    "METHODS",
    "AdaptationMethod",
    "Adapter",
    "Setup",
    "apt",
    "bitfit",
    "create_method",
    "finegates",
    "full",
    "head",
    "lora",
    "lora_xs",
    "maskllm",
    "one_shot",
    "rocoft",
    "two_of_four",
    "velora",
    "vera",
]
