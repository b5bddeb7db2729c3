"""Which language a visitor gets: the link's, else the browser's. Each language is a page of its own under its path."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from views.texts import LANGUAGES

DEFAULT = "en"
"""The language at the root; every other one is at ``/<language>``."""


def path_of(language: str) -> str:
    """Path of a language's page."""
    return "/" if language == DEFAULT else f"/{language}"


def preferred(accept: str) -> str:
    """The first language of an ``Accept-Language`` header, by its weights, that there is a page in."""
    weighted = []
    for place, part in enumerate(accept.lower().split(",")):
        name, _, weight = "".join(part.split()).partition(";q=")
        try:
            share = float(weight or 1)
        except ValueError:
            continue
        if 0 < share <= 1:  # a weight of 0 says: not this one
            weighted.append((-share, place, name.split("-")[0]))
    return next((name for _, _, name in sorted(weighted) if name in LANGUAGES), DEFAULT)


class LanguageRedirect:
    """Leads a visitor of one language's page to that of the language wanted."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass the request on."""
        wanted = self._wanted(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        if wanted is None:
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        # Relative, so that it holds behind a proxy with a path of its own; the pages are neighbours.
        location = "." + path_of(wanted) + (f"?{query}" if query else "")
        await RedirectResponse(location, status_code=307, headers={"Vary": "Accept-Language"})(scope, receive, send)

    def _wanted(self, scope: Scope) -> str | None:
        """The language to lead to; None where the visitor is right already."""
        here = next((each for each in LANGUAGES if scope["path"] == path_of(each)), None)
        if here is None:
            return None
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [""])[0]
        if asked in LANGUAGES:
            wanted = asked
        elif here == DEFAULT:
            wanted = preferred(Headers(scope=scope).get("accept-language", ""))
        else:
            return None
        return None if wanted == here else wanted
