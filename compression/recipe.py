"""What a user may ask for: one frozen, hashable value, which needs neither torch nor a model."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compression.accounting import check_removed_fraction
from compression.errors import UserError, shown
from compression.types import MAX_REMOVED_FRACTION

if TYPE_CHECKING:
    from compression.methods import CompressionMethod

DENSE = "dense"
"""The method name that stands for "not compressed"."""
OWN = "own"
"""The policy name that stands for the one a method was published with."""
MAX_SEEDS = 16
"""So many seeds a setting are measured at most."""
PRESETS = ("quick", "paper")
"""What the settings that are not given are: a method's defaults, or those of its paper."""
Settings = tuple[tuple[str, float], ...]
"""Names of a method's settings and their values."""
Pins = tuple[tuple[str, float], ...]
"""Patterns of site names (``*`` matches anything) and the removed fraction each is held at; the last match counts."""


def parse_pin(text: str) -> tuple[str, float]:
    """``PATTERN=FRACTION`` as a pin.

    Raises:
        UserError: if the text is no such pair.
    """
    pattern, separator, value = text.rpartition("=")
    try:
        if not separator or not pattern:
            raise ValueError
        return pattern, check_removed_fraction(float(value))
    except ValueError as error:
        raise UserError(
            f"A pin is a site name or pattern and a removed fraction, such as 'model.layers.0.*=0', but "
            f"{shown(text)} was given."
        ) from error


def parse_pins(text: str) -> Pins:
    """Comma-separated pins; an empty text holds none.

    Raises:
        UserError: if one of them is no pin.
    """
    return tuple(parse_pin(part.strip()) for part in text.split(",") if part.strip())


def parse_setting(text: str) -> tuple[str, float]:
    """``NAME=VALUE`` as a setting of a method.

    Raises:
        UserError: if the text is no such pair.
    """
    name, _, value = text.partition("=")
    try:
        if not name.strip():
            raise ValueError
        return name.strip(), float(value)
    except ValueError as error:
        raise UserError(
            f"A setting is a name and a number, such as 'atoms_per_nonzero=1.8', but {shown(text)} was given."
        ) from error


def pin_text(pins: Pins) -> str:
    """What `parse_pins` reads back."""
    return ",".join(f"{pattern}={str(fraction).removesuffix('.0')}" for pattern, fraction in pins)


@dataclass(frozen=True)
class Guards:
    """Bounds on what a single site may lose.

    Attributes:
        least: every site loses at least this share.
        most: no site loses more than this share, unless the target itself is above it.
    """

    least: float = 0.0
    most: float = 0.8

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            UserError: unless 0 ≤ least ≤ most ≤ 0.95.
        """
        if not 0 <= self.least <= self.most <= MAX_REMOVED_FRACTION:
            raise UserError(
                f"Guards must satisfy 0 ≤ least ≤ most ≤ {MAX_REMOVED_FRACTION}, but {self.least} and {self.most} were "
                "given."
            )


@dataclass(frozen=True)
class Recipe:
    """Names one model to look at: what to compress and how. Hashable, so that it can key a cache.

    Attributes:
        model_id: catalogue id, Hub id, directory, or a directory written by ``compress``.
        method: a name in `METHODS`, or ``dense``.
        policy: a name in `POLICIES`, or ``own`` for the one the method was published with.
        removed_fraction: over the compressible sites, in [0, 0.95].
        calibration_text: name of a text or a file; for a speech model, of recordings or a folder. Empty for what is
            built in.
        num_sequences: calibration sequences; for a speech model, recordings.
        sequence_length: tokens a calibration sequence; recordings are as long as they are.
        iterations: alternations of an iterative method; None for its default.
        atoms_per_nonzero: k/s of a dictionary method; None for its default.
        guards: bounds on what a site may lose.
        gradient_sequences: sequences for the output gradients, where they are needed.
        seed: 0 spreads the sequences evenly; others move them at random.
        damping: of the input Gram matrices, as a fraction of the mean diagonal; None for the method's default.
        recalibrate: collect inputs again behind compressed blocks, where the method can.
        pins: sites held at a removed fraction; the rest is solved for the target.
        settings: settings of the method by name; they win over `iterations` and the others that have a field here.
        preset: where settings that are not given come from, one of `PRESETS`.
        language: of the speech that a speech model hears, as a code such as ``en``.
        count_padding: whether the silence behind a calibration recording counts as input.
    """

    model_id: str
    method: str = DENSE
    policy: str = "uniform"
    removed_fraction: float = 0.0
    calibration_text: str = ""
    num_sequences: int = 32
    sequence_length: int = 512
    iterations: int | None = None
    atoms_per_nonzero: float | None = None
    guards: Guards = Guards()
    gradient_sequences: int = 32
    seed: int = 0
    damping: float | None = None
    recalibrate: bool = False
    pins: Pins = ()
    settings: Settings = ()
    preset: str = PRESETS[0]
    language: str = "en"
    count_padding: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether nothing is compressed."""
        return self.method == DENSE

    def method_settings(self) -> dict[str, Any]:
        """What the method is built with: the preset's, then those with a field here that it has, then `settings`.

        A later one replaces an earlier one. Whole values of settings that are whole numbers are given as such.
        """
        from compression.methods import METHODS

        if self.method not in METHODS:
            return {}
        method = METHODS[self.method]
        defaults = {field.name: field.default for field in dataclasses.fields(method)}

        given = {
            "iterations": self.iterations,
            "atoms_per_nonzero": self.atoms_per_nonzero,
            "damping": self.damping,
            "recalibrate": 1 if self.recalibrate else None,
        }
        settings: dict[str, Any] = dict(method.paper_settings) if self.preset == "paper" else {}
        settings |= {name: value for name, value in given.items() if name in defaults and value is not None}
        settings |= dict(self.settings)
        for name, value in settings.items():
            if isinstance(defaults.get(name), int) and float(value).is_integer():
                settings[name] = int(value)
        return settings

    def build_method(self) -> CompressionMethod:
        """The method with its settings.

        Raises:
            UserError: if there is no such method (``dense`` is none), or a setting is out of range.
        """
        from compression.methods import create_method

        return create_method(self.method, **self.method_settings())

    def resolved(self) -> Recipe:
        """The same recipe with ``own`` replaced by the method's policy.

        A method that removes the same of every layer has nothing to allocate, and one that decides over all layers at
        once allocates by itself, whatever policy is named.

        Raises:
            UserError: if there is no such method.
        """
        from compression.methods import METHODS

        if self.method in METHODS and METHODS[self.method].fixed_fraction is not None:
            return dataclasses.replace(self, policy="uniform")
        if self.method in METHODS and METHODS[self.method].joint:
            return dataclasses.replace(self, policy=METHODS[self.method].own_policy)
        if self.policy != OWN:
            return self
        policy = "uniform" if self.is_dense else self.build_method().own_policy
        return dataclasses.replace(self, policy=policy)

    def depends_on_seed(self) -> bool:
        """Whether another calibration could change the compressed model.

        Raises:
            UserError: if there is no such method or policy.
        """
        from compression.allocation import POLICIES, check_policy

        recipe = self.resolved()
        check_policy(recipe.policy)
        return not self.is_dense and (self.build_method().uses_calibration or POLICIES[recipe.policy].uses_calibration)

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is loaded.

        Raises:
            UserError: for an unknown method, policy, setting or preset, a number out of range, or a policy that has no
                meaning for the method.
        """
        from compression.allocation import POLICIES, check_policy

        check_removed_fraction(self.removed_fraction)
        check_policy(self.policy)
        if self.preset not in PRESETS:
            raise UserError(f"There is no preset {self.preset!r}: expected one of {', '.join(PRESETS)}.")
        policy = self.resolved().policy
        method = None if self.is_dense else self.build_method()
        if method is not None and POLICIES[policy].learns and method.learning() is None:
            raise UserError(
                f"The policy {policy} learns truncation positions, and {self.method} has none to learn: choose another "
                f"policy, or {OWN} for the one the method was published with."
            )
        if method is not None and not method.joint and POLICIES[policy].joint:
            raise UserError(
                f"Under the policy {policy} the method's own gates decide, and {self.method} has none: choose another "
                f"policy, or {OWN} for the one the method was published with."
            )
        if method is not None and method.joint and (self.pins or self.guards != Guards()):
            raise UserError(
                f"{self.method} decides over all layers at once and can hold none at a pin or within guards: leave "
                "pins and guards out, or choose another method."
            )
        most = None if method is None else method.fixed_fraction
        asked = max([self.removed_fraction, *(fraction for _, fraction in self.pins)])
        if most is not None and asked > most:
            raise UserError(
                f"{self.method} removes {most:.2%} of every layer and no more, but {asked:.2%} was asked for: choose a "
                "smaller removed fraction, or another method."
            )
        for name, value in (
            ("calibration sequences", self.num_sequences),
            ("sequence length", self.sequence_length),
            ("gradient sequences", self.gradient_sequences),
        ):
            if not 1 <= value <= 65536:
                raise UserError(f"The number for {name} must be from 1 to 65536, but {value} was given.")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"The seed must be a whole number from 0 to {2**31 - 1}, but {self.seed} was given.")


def over_seeds(recipes: tuple[Recipe, ...], count: int) -> tuple[Recipe, ...]:
    """Every recipe with `count` consecutive seeds from its own on, the first seed of all before the second of any.

    What no calibration can change is not repeated.

    Raises:
        UserError: if `count` is not from 1 to 16, or a recipe names no method or policy.
    """
    if not 1 <= count <= MAX_SEEDS:
        raise UserError(f"The number of seeds must be from 1 to {MAX_SEEDS}, but {count} was given.")
    return tuple(
        dataclasses.replace(recipe, seed=recipe.seed + step)
        for step in range(count)
        for recipe in recipes
        if step == 0 or recipe.depends_on_seed()
    )


_OPTIONS = {
    "calibration_text": "--calibration",
    "num_sequences": "--calibration-sequences",
    "sequence_length": "--sequence-length",
    "gradient_sequences": "--gradient-sequences",
    "seed": "--seed",
    "iterations": "--iterations",
    "atoms_per_nonzero": "--atoms-per-nonzero",
    "damping": "--damping",
    "recalibrate": "--recalibrate",
    "preset": "--preset",
    "language": "--language",
    "count_padding": "--count-padding",
}
"""Field of a `Recipe` → the option of ``compress`` that sets it."""


def command_line(recipe: Recipe, out: str) -> str:
    """The command that carries a recipe out, for a POSIX shell: what differs from the defaults, and always what counts.

    Args:
        recipe: not dense.
        out: the directory to write.
    """
    words = ["python", "-m", "compression", "compress", recipe.model_id, "--method", recipe.method]
    words += ["--policy", recipe.policy, "--removed", _number(recipe.removed_fraction)]
    default = Recipe(recipe.model_id)
    for name, option in _OPTIONS.items():
        value = getattr(recipe, name)
        if value == getattr(default, name):
            continue
        words.append(option)
        if not isinstance(value, bool):
            words.append(_number(value) if isinstance(value, float) else str(value))
    if recipe.guards.least != default.guards.least:
        words += ["--guard-least", _number(recipe.guards.least)]
    if recipe.guards.most != default.guards.most:
        words += ["--guard-most", _number(recipe.guards.most)]
    for pattern, fraction in recipe.pins:
        words += ["--pin", f"{pattern}={_number(fraction)}"]
    for name, value in recipe.settings:
        words += ["--setting", f"{name}={_number(value)}"]
    return shlex.join([*words, "--out", out])


def _number(value: float) -> str:
    """A number that reads back as the same one."""
    return repr(float(value)).removesuffix(".0")
