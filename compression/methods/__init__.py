"""The methods. Importing this package registers every one of them: add new files to the import below."""

from compression.methods import (
    asvd,
    compot,
    compot_fisher,
    cospadi,
    dobi_svd,
    finegates,
    fwsvd,
    maskllm,
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
from compression.methods.joint import JointMethod

__all__ = [
    "METHODS",
    "CompressionMethod",
    "JointMethod",
    "SiteResult",
    "asvd",
    "compot",
    "compot_fisher",
    "cospadi",
    "create_method",
    "describe",
    "dobi_svd",
    "fast_methods",
    "finegates",
    "fwsvd",
    "maskllm",
    "rocket",
    "svd",
    "svd_fisher",
    "svd_llm",
    "svd_llm_v2",
    "two_of_four",
]
