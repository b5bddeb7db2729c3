"""A recipe's settings: by field, by name, and from a preset."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from compression.errors import UserError
from compression.methods.compot import COMPOT
from compression.recipe import Recipe, parse_setting


def test_settings_by_name_win_over_fields_and_whole_numbers_stay_whole():
    recipe = Recipe("m", "compot", iterations=7, damping=1e-4, settings=(("iterations", 3.0), ("random_start", 1.0)))
    given = recipe.method_settings()
    assert given == {"iterations": 3, "damping": 1e-4, "random_start": 1}
    assert isinstance(given["iterations"], int) and isinstance(given["random_start"], int)
    method = recipe.build_method()
    assert (method.iterations, method.random_start, method.damping, method.atoms_per_nonzero) == (3, 1, 1e-4, 2.0)
    whole = Recipe("m", "compot", settings=(("atoms_per_nonzero", 3.0),)).method_settings()["atoms_per_nonzero"]
    assert isinstance(whole, float), "only settings that count something are whole numbers"


def test_a_field_that_the_method_lacks_does_not_concern_it_but_a_name_is_refused():
    assert Recipe("m", "svd", iterations=7).method_settings() == {}
    with pytest.raises(UserError, match="svd has no setting 'iterations': expected one of"):
        Recipe("m", "svd", settings=(("iterations", 7),)).check()
    with pytest.raises(UserError, match="alternations must be a whole number from 0 to 200, but 2.5 was given"):
        Recipe("m", "compot", settings=(("iterations", 2.5),)).check()


def test_the_paper_preset_lies_below_what_is_given(monkeypatch):
    monkeypatch.setattr(COMPOT, "paper_settings", MappingProxyType({"iterations": 60, "damping": 1e-3}))
    assert Recipe("m", "compot").method_settings() == {}
    assert Recipe("m", "compot", preset="paper").method_settings() == {"iterations": 60, "damping": 1e-3}
    fields = Recipe("m", "compot", preset="paper", iterations=9)
    assert fields.method_settings() == {"iterations": 9, "damping": 1e-3}
    named = Recipe("m", "compot", preset="paper", iterations=9, settings=(("damping", 1e-2), ("iterations", 4)))
    assert named.method_settings() == {"iterations": 4, "damping": 1e-2}
    fields.check()


def test_the_settings_of_a_paper_are_settings_of_its_method():
    from compression.methods import METHODS

    for name, method in METHODS.items():
        paper: Mapping[str, float] = method.paper_settings
        assert Recipe("m", name, preset="paper").build_method() == method(**paper)


def test_a_method_of_one_share_is_not_asked_for_more_and_has_nothing_to_allocate():
    for policy in ("uniform", "pooled", "own"):
        recipe = Recipe("m", "wanda-2:4", policy, 0.2)
        recipe.check()
        assert recipe.resolved().policy == "uniform"
    for bad in (
        Recipe("m", "wanda-2:4", "uniform", 0.44),
        Recipe("m", "wanda-2:4", "uniform", 0.2, pins=(("*.v_proj", 0.5),)),
    ):
        with pytest.raises(
            UserError, match=r"wanda-2:4 removes 43\.75% of every layer and no more, but .*% was asked for"
        ):
            bad.check()


def test_another_preset_is_refused():
    with pytest.raises(UserError, match="no preset 'magic': expected one of quick, paper"):
        Recipe("m", "compot", preset="magic").check()
    with pytest.raises(UserError, match="no preset 'magic'"):
        Recipe("m", preset="magic").check()


def test_a_setting_is_read_from_a_text():
    assert parse_setting("random_start=1") == ("random_start", 1.0)
    assert parse_setting(" damping = 1e-3 ") == ("damping", 1e-3)
    for bad in ("", "damping", "=1", "damping=", "damping=much", "a=b=c"):
        with pytest.raises(UserError, match="A setting is a name and a number, such as") as refused:
            parse_setting(bad)
        assert repr(bad) in str(refused.value)
