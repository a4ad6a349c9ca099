"""A headless Chromium for tests of pages, and what it may not do while it shows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_tab(browser: Browser, *, expected: str = "", **options: object) -> Iterator[Page]:
    """A tab without history; a failing script, a refused resource or a dialog fails the test.

    Errors that have the text ``expected`` in them do not.
    """
    options = {"viewport": {"width": 1200, "height": 800}, **options}
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    try:
        yield page
        assert not [text for text in wrong if not expected or expected not in text]
    finally:
        context.close()


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds wrong: names of controls, contrast, roles, structure."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]


def layout_shift(page: Page) -> float:
    """How far things moved by themselves since the page began, as browsers count it."""
    return page.evaluate(
        """() => new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
          }).observe({ type: "layout-shift", buffered: true });
          setTimeout(() => done(sum), 100);
        })"""
    )
