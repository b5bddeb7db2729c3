"""Precomputed, true results for the first paint: written by ``python -m compression gallery``, read by the app.

Reading needs neither torch nor a model.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from compression import store
from compression.allocation import POLICIES, SLIDER_POLICIES, Evidence, LossCurves
from compression.analysis import AnalysisInfo, AnyComparison, PatternInfo
from compression.errors import UserError
from compression.forecast import ForecastReport
from compression.recipe import OWN, Recipe
from compression.types import Comparison, MethodInfo, SpeechComparison

log = logging.getLogger(__name__)

EVIDENCE_FILE = "evidence.safetensors"
COMPARATORS_FILE = "comparators.json"
COMPARATORS = ("svd-llm-v2", "fwsvd", "asvd", "cospadi", "rocket", "dobi-svd")
"""The neighbours, some of which take minutes: measured at `SEED_FRACTION` under their own policies."""
SEED_FRACTION = 0.2
"""Removed fraction at which the spread over seeds is measured."""
OTHER_SEEDS = (1, 2)
"""Calibration seeds measured there besides 0."""
SPEECH_METHODS = ("svd-llm", "compot", "compot-fisher", "svd-fisher")
"""What is measured of a speech model."""


@dataclass(frozen=True)
class Gallery:
    """Results of one model.

    Attributes:
        analysis: spectra and allocations.
        headline: measured runs of the project's own methods and their baselines, with their environment.
        comparators: measured runs of `COMPARATORS`, with theirs; where none were measured, the headline without runs.
        patterns: one site of each projection as low rank and as dictionary.
        methods: the registered methods, as they describe themselves.
        forecasts: one for each method and policy that was probed; some hold only measured points.
        evidence: what the allocations were made from, so that they can be solved again around pinned sites.
    """

    analysis: AnalysisInfo
    headline: AnyComparison
    comparators: AnyComparison
    patterns: tuple[PatternInfo, ...]
    methods: tuple[MethodInfo, ...]
    forecasts: tuple[ForecastReport, ...]
    evidence: Evidence

    @cached_property
    def comparison(self) -> AnyComparison:
        """All measured runs: same model, calibration and text or recordings."""
        runs: Any = (*self.headline.runs, *self.comparators.runs)
        return replace(self.headline, runs=runs)

    @property
    def policies(self) -> tuple[str, ...]:
        """The allocation policies."""
        return tuple(self.analysis.allocations)


def registered_methods() -> tuple[MethodInfo, ...]:
    """What the engine has now, as a gallery would list it; imports torch."""
    from compression.methods import METHODS, describe

    return tuple(map(describe, METHODS.values()))


def registered_policies() -> tuple[str, ...]:
    """The policies that the engine tabulates at every slider position now, as a gallery would list them."""
    return SLIDER_POLICIES


def all_policies() -> tuple[str, ...]:
    """All allocation policies the engine has now."""
    return tuple(POLICIES)


def gallery_policies(method: MethodInfo) -> tuple[str, ...]:
    """The policies a method is measured under: the same share everywhere, its own, and the one that knows the loss.

    A comparator is measured under its own alone, one that cannot remove what is asked for, or decides over all layers
    at once, not at all.
    """
    if method.fixed_fraction is not None or method.joint:
        return ()
    if method.name in COMPARATORS:
        return (method.own_policy,)
    return tuple(dict.fromkeys(("uniform", method.own_policy, "fisher")))


def headline_methods(methods: tuple[MethodInfo, ...]) -> tuple[MethodInfo, ...]:
    """Those that are measured at every fraction and forecast."""
    return tuple(method for method in methods if method.name not in COMPARATORS and gallery_policies(method))


def gallery_recipes(model_id: str, methods: tuple[MethodInfo, ...], fractions: tuple[float, ...]) -> tuple[Recipe, ...]:
    """The headline: methods under their policies at every removed fraction, then the other seeds.

    `COMPARATORS` are left out, and methods that `gallery_policies` leaves out.

    Seeds other than 0 are measured at `SEED_FRACTION` alone, under each method's own policy, and not for a method that
    needs no calibration.
    """
    methods = headline_methods(methods)
    recipes = [
        Recipe(model_id, method.name, policy, fraction)
        for fraction in fractions
        for method in methods
        for policy in gallery_policies(method)
    ]
    seeds = [
        Recipe(model_id, method.name, method.own_policy, SEED_FRACTION, seed=seed)
        for seed in OTHER_SEEDS
        for method in methods
        if method.uses_calibration and SEED_FRACTION in fractions
    ]
    return (*recipes, *seeds)


def comparator_recipes(model_id: str) -> tuple[Recipe, ...]:
    """The neighbours under their own policies, at `SEED_FRACTION`."""
    return tuple(Recipe(model_id, name, OWN, SEED_FRACTION) for name in COMPARATORS)


def speech_gallery_recipes(model_id: str, fractions: tuple[float, ...]) -> tuple[Recipe, ...]:
    """The headline of a speech model: `SPEECH_METHODS`, each under the policies of `gallery_policies`."""
    described = {method.name: method for method in registered_methods()}
    return tuple(
        Recipe(model_id, name, policy, fraction)
        for fraction in fractions
        for name in SPEECH_METHODS
        for policy in gallery_policies(described[name])
    )


def load_gallery(directory: Path) -> Gallery:
    """Read a gallery; it may have no comparators.

    Raises:
        UserError: if a file is missing or damaged.
    """
    analysis = store.read_json(directory / "analysis.json", AnalysisInfo)
    kind: Any = SpeechComparison if analysis.model.is_speech else Comparison
    headline = store.read_json(directory / "comparison.json", kind)
    comparators = directory / COMPARATORS_FILE
    return Gallery(
        analysis=analysis,
        headline=headline,
        comparators=store.read_json(comparators, kind) if comparators.is_file() else replace(headline, runs=()),
        patterns=store.read_json(directory / "patterns.json", tuple[PatternInfo, ...]),
        methods=store.read_json(directory / "methods.json", tuple[MethodInfo, ...]),
        forecasts=store.read_json(directory / "forecasts.json", tuple[ForecastReport, ...]),
        evidence=load_evidence(directory / EVIDENCE_FILE),
    )


def galleries_in(assets: Path) -> list[Path]:
    """The folders of a folder that hold a gallery."""
    found = assets.iterdir() if assets.is_dir() else ()
    return sorted(folder for folder in found if (folder / "analysis.json").is_file())


def find_gallery(model_id: str, assets: Path) -> Gallery | None:
    """The gallery of a model; None where there is none, or other code wrote it and it does not read.

    The name is compared with the folders there are, and never becomes a part of a path: it may come from anybody.
    """
    folder = next((folder for folder in galleries_in(assets) if folder.name == model_id), None)
    found = None if folder is None else read_gallery(folder)
    return found if found is not None and found.analysis.model.model_id == model_id else None


@lru_cache(maxsize=8)
def read_gallery(folder: Path) -> Gallery | None:
    """A gallery, read once; None, and why in the log, where there is none that reads."""
    try:
        return load_gallery(folder)
    except UserError as error:
        log.warning("%s", error)
        return None


def save_gallery(directory: Path, gallery: Gallery) -> None:
    """Write a gallery, file by file; existing files are replaced, and there is none for comparators without runs."""
    store.write_json(directory / "analysis.json", gallery.analysis)
    store.write_json(directory / "comparison.json", gallery.headline)
    if gallery.comparators.runs:
        store.write_json(directory / COMPARATORS_FILE, gallery.comparators)
    else:
        (directory / COMPARATORS_FILE).unlink(missing_ok=True)
    store.write_json(directory / "patterns.json", gallery.patterns)
    store.write_json(directory / "methods.json", gallery.methods)
    store.write_json(directory / "forecasts.json", gallery.forecasts)
    save_evidence(directory / EVIDENCE_FILE, gallery.evidence)


def load_evidence(file: Path) -> Evidence:
    """Read what `save_evidence` wrote.

    Raises:
        UserError: if the file is missing or damaged.
    """
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read: make it again with `python -m compression gallery`.") from error
    spectra = {name.removeprefix("spectrum."): v for name, v in tensors.items() if name.startswith("spectrum.")}
    curves = {
        name.removeprefix("curve."): tuple(v.tolist()) for name, v in tensors.items() if name.startswith("curve.")
    }
    return Evidence(spectra, LossCurves(curves) if curves else None)


def save_evidence(file: Path, evidence: Evidence) -> None:
    """Write spectra and loss curves as float64 tensors, one a site."""
    curves = evidence.curves.losses if evidence.curves else {}
    tensors = {f"spectrum.{site}": np.asarray(values) for site, values in evidence.spectra.items()}
    tensors |= {f"curve.{site}": np.asarray(losses, dtype=np.float64) for site, losses in curves.items()}
    with store.atomic_file(file) as temporary:
        save_file(tensors, temporary)
