"""What ``synthesise`` is asked and what it answers: plain values, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from compression.adaptation.types import MAX_SEED
from compression.errors import UserError
from compression.types import Environment

MAX_PAIRS = 100_000
GRADES = (1, 5)


def _is_address(server: str) -> bool:
    """Whether a connection could be made to such an address; nothing is sent."""
    try:
        url = httpx.URL(server)
        url.host.encode("idna")  # as a connection would
        return server.startswith(("http://", "https://")) and bool(url.host) and (url.port or 0) < 2**16
    except (httpx.InvalidURL, UnicodeError):
        return False


@dataclass(frozen=True)
class SyntheticSettings:
    """What one run does. Hashable, so that it can key a cache.

    Attributes:
        writer: catalogue id, Hub id or directory of a language model; empty where a server writes.
        server: address of an OpenAI-compatible server, such as ``http://localhost:8000/v1``; empty for none.
        served_model: the server's name of its model.
        pairs: how many are wanted; `max_tries` ends it earlier.
        max_tries: instructions that are tried at most; 0 for ten a pair.
        max_new_tokens: tokens of an answer at most.
        temperature: of sampling.
        min_grade: what the judge must give at least, from 1 to 5; 0 for no judge.
        similarity: an instruction that is more alike to one that is there than this, from 0 to 1, is dropped.
        seed: of sampling.
        judge: the model that grades, as `writer`; empty for the writer itself.
        judge_server: address of a server that grades; then `judge` is its name of its model. Empty for none.
    """

    writer: str = ""
    server: str = ""
    served_model: str = ""
    pairs: int = 10
    max_tries: int = 0
    max_new_tokens: int = 128
    temperature: float = 0.8
    min_grade: int = 3
    similarity: float = 0.7
    seed: int = 0
    judge: str = ""
    judge_server: str = ""

    def check(self) -> None:
        """Refuse what cannot be carried out.

        Raises:
            UserError: naming the value.
        """
        if bool(self.writer) == bool(self.server):
            raise UserError("Name either a model that writes or a server: one of the two.")
        for server in (self.server, self.judge_server):
            if server and not _is_address(server):
                raise UserError(f"A server has an address such as http://localhost:8000/v1, but {server} was given.")
        if self.server and not self.served_model:
            raise UserError("A server may have several models: name one by --served-model.")
        if self.judge_server and not self.judge:
            raise UserError("A server may have several models: name the one that grades by --judge.")
        if self.judge and not self.min_grade:
            raise UserError("A judge was named, but --min-grade 0 asks for none: leave one of the two out.")
        for what, value, low, high in (
            ("--pairs", self.pairs, 1, MAX_PAIRS),
            ("--max-tries", self.max_tries, 0, 100 * MAX_PAIRS),
            ("--max-new-tokens", self.max_new_tokens, 8, 4096),
            ("--temperature", self.temperature, 0.05, 5),
            ("--min-grade", self.min_grade, 0, GRADES[1]),
            ("--similarity", self.similarity, 0.05, 1),
            ("--seed", self.seed, 0, MAX_SEED),
        ):
            if not low <= value <= high:
                raise UserError(f"{what} takes {low} to {high}, but {value} was given.")


@dataclass(frozen=True)
class Pair:
    """An instruction and its answer; `grade` is the judge's, None without one."""

    instruction: str
    output: str
    grade: int | None


@dataclass(frozen=True)
class Decision:
    """What became of a try.

    Its outcome is ``kept``, ``too-short``, ``too-long``, ``alike``, ``no-answer``, ``ungraded`` or ``low-grade``.
    """

    outcome: str
    pair: Pair


@dataclass(frozen=True)
class SyntheticReport:
    """What ``synthesise`` writes.

    Attributes:
        settings: what was asked for.
        pairs: kept.
        outcomes: outcome → number of tries.
        grades: grade → number of answers that got it.
        environment: where it was made.
    """

    settings: SyntheticSettings
    pairs: tuple[Pair, ...]
    outcomes: dict[str, int]
    grades: dict[int, int]
    environment: Environment
