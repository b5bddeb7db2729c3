"""The app in front of a made-up workbench: two "models" that write fixed sentences, whatever they hear.

Reading, refusing and showing recordings is the real thing; only the models are not. Run it as a program.
"""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
from made_up_changes import Changes

from compression.evaluation.wer import WordAlignment, align_words
from compression.recipe import Recipe
from compression.types import LatencyFigure, Progress, SpeechLatencyReport, Transcript
from views import engine

DENSE = "And Mr. John Dashwood had then leisure to consider, how much there might be prudently in his power to do <b>."
COMPRESSED = "And Mister John Dashwood had the leisure to consider how much there might be in his his power to do for."


class Bench(Changes):
    """As much of a workbench as the speech halves of the tabs ask for."""

    def transcribe(self, recipe: Recipe, samples: np.ndarray) -> Generator[Progress, None, Transcript]:
        """Write a third of the sentence at a time."""
        text, seconds = DENSE if recipe.method == "dense" else COMPRESSED, len(samples) / 16_000
        words = text.split()
        for third in (1, 2, 3):
            part = Transcript(" ".join(words[: len(words) * third // 3]), seconds * third / 3, 0.1 * third, 1)
            yield Progress("transcribe", third, 3, f"window {third} of 3", part)
            time.sleep(0.2)
        return Transcript(text, seconds, 0.3, 1)

    def align(self, reference: str, hypothesis: str) -> Generator[Progress, None, WordAlignment]:
        """Without case and punctuation."""
        yield Progress("align", 0, 1, "aligning")
        return align_words(reference, hypothesis, lambda text: "".join(c for c in text.lower() if c not in ".,?!…"))

    def speech_latency(self, recipe: Recipe) -> Generator[Progress, None, SpeechLatencyReport]:
        """Round numbers."""
        yield Progress("latency", 0, 1, "round 1")
        return SpeechLatencyReport(
            threads=1,
            decode_tokens=16,
            audio_seconds=7.1,
            encoder={"dense": LatencyFigure(180, 4, 5), "compressed": LatencyFigure(210, 4, 5)},
            decode={"dense": LatencyFigure(9, 0.2, 5), "compressed": LatencyFigure(10, 0.2, 5)},
            real_time_factor={"dense": 0.03, "compressed": 0.04},
            execution="",
            device="made up",
        )


if __name__ == "__main__":
    from views.page import build, launch_options

    bench = Bench()
    engine.workbench = lambda: bench  # type: ignore[assignment,return-value]
    engine.is_speech = lambda model_id: True
    build().launch(**launch_options())
