"""The per-site methods. Importing this package registers every one of them: add new files to the import below."""

from compression.methods import (
    asvd,
    compot,
    compot_fisher,
    cospadi,
    dobi_svd,
    fwsvd,
    rocket,
    svd,
    svd_fisher,
    svd_llm,
    svd_llm_v2,
    two_of_four,
)
from compression.methods.base import (
    METHODS,
    CompressionMethod,
    SiteResult,
    create_method,
    describe,
    fast_methods,
)

__all__ = [
    "METHODS",
    "CompressionMethod",
    "SiteResult",
    "asvd",
    "compot",
    "compot_fisher",
    "cospadi",
    "create_method",
    "describe",
    "dobi_svd",
    "fast_methods",
    "fwsvd",
    "rocket",
    "svd",
    "svd_fisher",
    "svd_llm",
    "svd_llm_v2",
    "two_of_four",
]
