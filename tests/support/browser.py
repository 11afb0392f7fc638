"""The system's own Chromium, driven the way a person uses it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from playwright import async_api
from playwright.sync_api import Browser, BrowserContext, sync_playwright


def _how() -> dict[str, Any]:
    path = shutil.which("chromium")
    assert path is not None, "the browser tests need Debian's chromium; scripts/test installs it"
    # Without its sandbox, since tests often run as root; all it visits are pages of the test's own.
    return {"executable_path": path, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


@contextmanager
def running_browser() -> Generator[Browser]:
    """One browser process until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**_how())
        try:
            yield browser
        finally:
            browser.close()


@asynccontextmanager
async def browsing() -> AsyncGenerator[async_api.Browser]:
    """The same for a test that serves what is visited from its own event loop."""
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(**_how())
        try:
            yield browser
        finally:
            await browser.close()


@contextmanager
def a_phone(browser: Browser, *, locale: str = "en") -> Generator[BrowserContext]:
    """A visitor with a narrow window, cookies of their own, and scripts switched off."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, locale=locale, java_script_enabled=False, is_mobile=True
    )
    context.set_default_timeout(20_000)
    try:
        yield context
    finally:
        context.close()
