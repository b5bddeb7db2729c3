"""Which language a visitor is led to, and that nobody is led in circles."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from own_loop import run_apart

from views.language import LanguageRedirect, path_of, preferred
from views.page import launch_options
from views.texts import LANGUAGES


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("ru", "ru"),
        ("RU-ru", "ru"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", "ru"),
        ("en-US,en;q=0.9,ru;q=0.8", "en"),
        ("ru;q=0.8,en-US,en;q=0.9", "en"),
        ("de-DE,de;q=0.9,ru;q=0.5,en;q=0.4", "ru"),
        ("de;q=0.9,fr", "en"),
        ("ru,en", "ru"),
        ("en,ru", "en"),
        ("en; q=0.3 , ru ; q=0.7", "ru"),
        ("en;Q=0.3,ru;Q=0.7", "ru"),
        ("en;q=0.3,\tru;q=0.700", "ru"),
    ],
)
def test_the_heaviest_language_that_there_is_wins(accept: str, language: str) -> None:
    assert preferred(accept) == language


@pytest.mark.parametrize("accept", ["ru;q=0", "ru;q=0.000, de", "de, ru;q=0"])
def test_a_language_of_no_weight_is_not_wanted(accept: str) -> None:
    assert preferred(accept) == "en"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        " ",
        "*",
        ",,,",
        ";q=1",
        ";;;q=,=",
        "russian",
        "ru;q=x",
        "ru;q=nan",
        "ru;q=-1",
        "ru;q=inf",
        "ру",
        "q=1;ru",
    ],
)
def test_garbage_is_english(accept: str) -> None:
    assert preferred(accept) == "en"
    assert preferred(f"{accept},ru;q=0.5") == "ru", "and does not keep the rest from being read"


def test_a_very_long_header_is_read_all_the_same() -> None:
    assert preferred("x," * 100_000 + "ru") == "ru"


def test_every_language_has_a_path_of_its_own() -> None:
    assert {language: path_of(language) for language in LANGUAGES} == {"en": "/", "ru": "/ru"}


# --- the redirect ---


def answer(url: str, accept: str | None = None, method: str = "GET", kind: str = "http") -> tuple[int, dict[str, str]]:
    """Status and headers; 200 and none where the request is passed on to the app unchanged."""
    split = urlsplit(url)
    headers = [] if accept is None else [(b"accept-language", accept.encode("latin-1"))]
    scope: MutableMapping[str, Any] = {"type": kind, "path": split.path, "query_string": split.query.encode()}
    scope |= {"headers": headers, **({"method": method} if kind == "http" else {})}
    before, sent, passed = dict(scope), [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append((scope, receive, send))

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    run_apart(LanguageRedirect(app)(scope, receive, send))
    if passed:
        assert (passed, sent, scope) == ([(scope, receive, send)], [], before)
        return 200, {}
    start, body = sent
    assert (start["type"], body["type"], body.get("body", b"")) == ("http.response.start", "http.response.body", b"")
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}


def browse(url: str, accept: str | None = None) -> str:
    """The address at which a browser ends up."""
    for _ in range(3):
        status, headers = answer(url, accept)
        if status == 200:
            return url
        assert status == 307
        url = urljoin(url, headers["location"])
    raise AssertionError("led in circles")


HOME = "http://host/"
RUSSIAN, ENGLISH = "ru-RU,ru;q=0.9,en;q=0.8", "en-US,en;q=0.9,ru;q=0.1"


@pytest.mark.parametrize(
    ("url", "accept", "ends"),
    [
        ("", None, ""),
        ("", ENGLISH, ""),
        ("", RUSSIAN, "ru"),
        ("?lang=ru", ENGLISH, "ru?lang=ru"),
        ("?lang=ru", None, "ru?lang=ru"),
        ("?lang=en", RUSSIAN, "?lang=en"),
        ("ru", ENGLISH, "ru"),
        ("ru", RUSSIAN, "ru"),
        ("ru?lang=en", RUSSIAN, "?lang=en"),
        ("ru?lang=ru", ENGLISH, "ru?lang=ru"),
        ("?lang=xx", RUSSIAN, "ru?lang=xx"),
        ("?lang=xx", ENGLISH, "?lang=xx"),
        ("?lang=", RUSSIAN, "ru?lang="),
        ("ru?lang=xx", ENGLISH, "ru?lang=xx"),
        ("?lang=ru&lang=en", ENGLISH, "ru?lang=ru&lang=en"),
    ],
)
def test_a_visitor_ends_on_the_page_of_the_link_else_of_the_browser(url: str, accept: str | None, ends: str) -> None:
    assert browse(HOME + url, accept) == HOME + ends
    assert browse(HOME + ends, accept) == HOME + ends, "and stays there when the page is loaded again"


def test_the_query_is_kept() -> None:
    query = (
        "model=owner/name%40main&pins=model.layers.0.*%3D0,a%3D0.5&site=%D1%81%D0%BB%D0%BE%D0%B9&other=a+b%26c&lang=ru"
    )
    ended = urlsplit(browse(f"{HOME}?{query}", ENGLISH))
    assert ended.path == "/ru"
    assert parse_qsl(ended.query) == parse_qsl(query)


def test_the_location_is_relative_so_that_it_holds_behind_a_proxy() -> None:
    _, there = answer("/?lang=ru&ratio=0.3")
    _, back = answer("/ru?lang=en")
    assert (there["location"], back["location"]) == ("./ru?lang=ru&ratio=0.3", "./?lang=en")
    assert there["vary"] == "Accept-Language", "no cache in between may answer others with it"
    assert urljoin("https://host/space/app/", there["location"]) == "https://host/space/app/ru?lang=ru&ratio=0.3"
    assert urljoin("https://host/space/app/ru", back["location"]) == "https://host/space/app/?lang=en"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/info",
        "/gradio_api/queue/join",
        "/config",
        "/theme.css",
        "/ru/",
        "/ru/config",
        "/rus",
        "/en",
    ],
)
def test_other_paths_are_left_alone(path: str) -> None:
    assert (
        answer(path, RUSSIAN) == answer(f"{path}?lang=ru", RUSSIAN) == answer(f"{path}?lang=en", ENGLISH) == (200, {})
    )


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
def test_only_reading_a_page_is_led_elsewhere(method: str) -> None:
    assert answer("/?lang=ru", RUSSIAN, method) == (200, {})


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_what_is_no_request_for_a_page_is_passed_on(kind: str) -> None:
    assert answer("/", RUSSIAN, kind=kind) == (200, {})


@pytest.mark.parametrize(
    "location", ["//evil.example", "http://evil.example", "/\\evil.example", "%0d%0aSet-Cookie:a=b"]
)
def test_nobody_is_led_to_another_site(location: str) -> None:
    ended = urlsplit(browse(f"{HOME}?lang=ru&next={location}", RUSSIAN))
    assert (ended.scheme, ended.netloc, ended.path) == ("http", "host", "/ru")


def test_the_app_is_launched_behind_it() -> None:
    first, *_ = launch_options()["app_kwargs"]["middleware"]
    assert first.cls is LanguageRedirect
