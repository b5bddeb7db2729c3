"""The per-site methods. Importing this package registers every one of them: add new files to the import below."""

from compression.methods import compot, compot_fisher, cospadi, svd, svd_fisher, svd_llm
from compression.methods.base import METHODS, CompressionMethod, SiteResult, create_method, describe

__all__ = [
    "METHODS",
    "CompressionMethod",
    "SiteResult",
    "compot",
    "compot_fisher",
    "cospadi",
    "create_method",
    "describe",
    "svd",
    "svd_fisher",
    "svd_llm",
]
