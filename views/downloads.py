"""How files leave the server: text shrinks on its way, archives go as they are."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send


class GZipText(GZipMiddleware):
    """Compression of answers, but not of archives: weights hardly shrink, and a browser wants to know their size."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        archive = scope["type"] == "http" and scope["path"].endswith(".zip")
        await (self.app(scope, receive, send) if archive else super().__call__(scope, receive, send))
