"""What axe finds on a page that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

STILL = """() => document.getAnimations().every((each) =>
  each.playState !== 'running' || each.effect.getComputedTiming().iterations === Infinity)"""
"""No button is on its way from grey to blue: axe would measure a contrast that stands there for a moment."""


def serious_findings(page: Page) -> list[str]:
    """The serious and critical findings: the rule, and the first piece of the page that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_function(STILL)
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
