"""Word error rates against errors counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compression.evaluation.wer import AlignedWord, align_words, bootstrap_interval, word_error_rate

CASES = {
    "the same": ("a b c", "a b c", (0, 0, 0)),
    "one wrong": ("the cat sat", "the cat sits", (1, 0, 0)),
    "one missing": ("the black cat sat", "the cat sat", (0, 1, 0)),
    "one too many": ("the cat sat", "the black cat sat", (0, 0, 1)),
    "nothing heard": ("the cat sat", "", (0, 3, 0)),
    "runs on": ("yes", "yes yes yes yes", (0, 0, 3)),
    "of each": ("one two three four", "one too three three", (2, 0, 0)),
    "line breaks and tabs": ("the\tcat\nsat", " the  cat \r\n sat ", (0, 0, 0)),
    "case and signs are words of their own": ("the cat", "The cat.", (2, 0, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_counted_by_hand(case, cache):
    reference, hypothesis, (substitutions, deletions, insertions) = CASES[case]
    result = word_error_rate([hypothesis], [reference])
    assert (result["substitutions"], result["deletions"], result["insertions"]) == (
        substitutions,
        deletions,
        insertions,
    )
    assert result["words"] == len(reference.split())
    assert result["wer"] == pytest.approx((substitutions + deletions + insertions) / len(reference.split()))
    found = align_words(reference, hypothesis)
    assert (found.substitutions, found.deletions, found.insertions) == (substitutions, deletions, insertions)
    assert found.wer == pytest.approx(result["wer"])
    assert found.reference_words == result["words"]
    assert [word.reference for word in found.words if word.reference] == reference.split()
    assert [word.hypothesis for word in found.words if word.hypothesis] == hypothesis.split()


def test_the_rate_is_pooled_over_words_not_over_utterances(cache):
    result = word_error_rate(["a b c d e f g h i", "wrong"], ["a b c d e f g h i", "right"])
    assert result["wer"] == pytest.approx(1 / 10)


def test_characters_count_spaces(cache):
    # "ab cd" against "abcd": one of five characters is missing
    assert word_error_rate(["abcd"], ["ab cd"])["cer"] == pytest.approx(1 / 5)


def test_both_sides_are_normalised_first(cache):
    result = word_error_rate(["The CAT."], ["the cat"], lambda text: text.lower().strip("."))
    assert result["wer"] == 0 and result["cer"] == 0
    assert align_words("Don't.", "do not", lambda text: text.lower().replace("don't.", "do not")).errors == 0


@pytest.mark.parametrize("predictions", ["", "something", "…"])
def test_a_reference_that_normalises_to_nothing_has_no_rate(predictions, cache):
    def normalise(text: str) -> str:
        return text.replace("…", "")

    result = word_error_rate([predictions], ["…"], normalise)
    assert math.isnan(result["wer"]) and math.isnan(result["cer"]) and result["words"] == 0
    found = align_words("…", predictions, normalise)
    assert math.isnan(found.wer) and found.insertions == len(normalise(predictions).split())


def test_the_alignment_says_where_words_differ():
    found = align_words("the black cat sat down", "the cat sits down there")
    assert found.words == (
        AlignedWord("equal", "the", "the"),
        AlignedWord("delete", "black", ""),
        AlignedWord("equal", "cat", "cat"),
        AlignedWord("substitute", "sat", "sits"),
        AlignedWord("equal", "down", "down"),
        AlignedWord("insert", "", "there"),
    )
    assert found.wer == pytest.approx(3 / 5)


def test_the_interval_is_that_of_a_plain_bootstrap():
    generator = np.random.default_rng(3)
    words = generator.integers(1, 30, size=25).tolist()
    errors = [int(generator.integers(0, count)) for count in words]
    low, high, stderr = bootstrap_interval(errors, words, resamples=300, seed=5)
    drawn = np.random.default_rng(5).integers(25, size=(300, 25))
    rates = []
    for sample in drawn:
        wrong = said = 0
        for index in sample:
            wrong += errors[index]
            said += words[index]
        rates.append(wrong / said)
    rates.sort()
    mean = sum(rates) / 300
    assert stderr == pytest.approx(math.sqrt(sum((rate - mean) ** 2 for rate in rates) / 299))
    # Linear interpolation between order statistics at 0.025 · 299 and 0.975 · 299.
    assert low == pytest.approx(rates[7] + 0.475 * (rates[8] - rates[7]))
    assert high == pytest.approx(rates[291] + 0.525 * (rates[292] - rates[291]))


def test_the_standard_error_is_the_textbook_one_for_equal_utterances():
    errors = np.random.default_rng(0).integers(0, 10, size=200)
    low, high, stderr = bootstrap_interval(errors.tolist(), [10] * 200)
    assert low < errors.mean() / 10 < high
    assert stderr == pytest.approx(errors.std() / 10 / math.sqrt(200), rel=0.05)
    assert high - low == pytest.approx(2 * 1.96 * stderr, rel=0.1)


def test_the_interval_is_reproducible_and_needs_two_utterances():
    assert bootstrap_interval([1, 2, 0], [5, 6, 7]) == bootstrap_interval([1, 2, 0], [5, 6, 7])
    assert bootstrap_interval([1], [5]) == (None, None, None) == bootstrap_interval([], [])
    assert bootstrap_interval([0, 0], [5, 6]) == (0.0, 0.0, 0.0)
