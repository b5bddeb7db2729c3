"""What a link may say, and what becomes of links that were typed, cut or forged."""

from __future__ import annotations

import pytest

from compression.slider import SLIDER
from views import engine
from views.address import MAX_LENGTH, MAX_PINS, Address, read_address


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "method_names", lambda: ("svd", "compot"))
    monkeypatch.setattr(engine, "policy_names", lambda: ("uniform", "pooled"))


GOOD = {
    "model": "owner/name@0123",
    "method": "compot",
    "policy": "pooled",
    "ratio": "0.37",
    "site": "model.layers.0.mlp.up_proj",
    "pins": "model.layers.0.*=0,model.layers.1.mlp.up_proj=0.25",
}
PINS = (("model.layers.0.*", 0.0), ("model.layers.1.mlp.up_proj", 0.25))


def test_a_link_of_the_page_is_read_whole() -> None:
    assert read_address(GOOD) == Address(GOOD["model"], "compot", "pooled", 0.37, GOOD["site"], PINS)
    assert not read_address(GOOD).is_empty


@pytest.mark.parametrize("query", [{}, {"lang": "ru"}, {"utm_source": "somewhere", "fbclid": "x"}, {"pins": ""}])
def test_a_link_that_says_nothing_here_is_empty(query: dict[str, str]) -> None:
    assert read_address(query) == Address() and read_address(query).is_empty


@pytest.mark.parametrize("key", GOOD)
def test_every_value_may_stand_alone(key: str) -> None:
    alone, whole = read_address({key: GOOD[key]}), read_address(GOOD)
    changed = {name for name in Address.__dataclass_fields__ if getattr(alone, name) != getattr(Address(), name)}
    assert len(changed) == 1
    assert getattr(alone, *changed) == getattr(whole, *changed)


@pytest.mark.parametrize("position", SLIDER)
def test_every_position_of_the_slider_can_be_linked_to(position: float) -> None:
    assert read_address({"ratio": f"{position:g}"}).removed_fraction == position


@pytest.mark.parametrize(
    ("said", "position"), [("0.2", 0.2), ("0.20", 0.2), (" .2 ", 0.2), ("2e-1", 0.2), ("0.204", 0.2), ("0.949", 0.95)]
)
def test_a_ratio_between_two_positions_is_the_nearer_one(said: str, position: float) -> None:
    assert read_address({"ratio": said}) == Address(removed_fraction=position)


def test_a_ratio_in_the_middle_is_one_of_both() -> None:
    assert read_address({"ratio": "0.205"}).removed_fraction in (0.2, 0.21)


@pytest.mark.parametrize(
    "said", ["", "nan", "inf", "-inf", "1e9", "1e400", "0.96", "1", "-0.2", "0,2", "20%", "0x1", "a", "0.2;", "\0", "²"]
)
def test_a_ratio_where_no_slider_can_stand_is_left_out_and_named(said: str) -> None:
    address = read_address(GOOD | {"ratio": said})
    assert (address.removed_fraction, address.ignored) == (None, ("ratio",))
    assert (address.method, address.pins) == ("compot", PINS), "the rest of the link still counts"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "best"),
        ("method", ""),
        ("method", "COMPOT"),
        ("method", "<script>"),
        ("policy", "fisher"),
        ("policy", "own"),
        ("pins", "a"),
        ("pins", "a=2"),
        ("pins", "a=0.1,b"),
        ("pins", "a=nan"),
        ("pins", "=0.1"),
        ("pins", "*[`<img src=//elsewhere/x.png>j]=0.1"),
        ("pins", "a=0,**loud** [text](x)=0.1"),
    ],
)
def test_what_is_not_known_is_left_out_and_named(key: str, value: str) -> None:
    address = read_address({"ratio": "0.2", key: value})
    assert address == Address(removed_fraction=0.2, ignored=(key,)) and not address.is_empty


def test_patterns_may_be_all_that_patterns_are() -> None:
    address = read_address({"pins": "model.layers.[0-9].*_proj=0.1,h.?.attn=0,[!a]b-c=0.95"})
    assert [pattern for pattern, _ in address.pins] == ["model.layers.[0-9].*_proj", "h.?.attn", "[!a]b-c"]


def test_a_site_or_a_model_can_only_be_known_to_the_engine() -> None:
    """The tab falls back to a site there is, and asks for the model to be loaded."""
    assert read_address({"site": "nowhere", "model": "../../etc"}) == Address(model_id="../../etc", site="nowhere")
    assert read_address({"site": "", "model": ""}).is_empty


@pytest.mark.parametrize("key", GOOD)
def test_a_value_that_is_too_long_is_left_out_and_named(key: str) -> None:
    address = read_address(GOOD | {key: GOOD[key] + "x" * MAX_LENGTH})
    assert address.ignored == (key,)
    others = read_address({name: value for name, value in GOOD.items() if name != key})
    assert address == Address(**(vars(others) | {"ignored": (key,)}))
    longest = ",".join(["a=0.1"] * MAX_PINS)
    assert len(read_address({"pins": longest}).pins) == MAX_PINS
    assert read_address({"pins": f"{longest},b=0.1"}) == Address(ignored=("pins",))
