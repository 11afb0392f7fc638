"""The system's own Chromium, driven the way a person uses it: a phone's window, and no scripts."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, sync_playwright


@contextmanager
def running_browser() -> Generator[Browser]:
    """One browser process until the end of the block."""
    path = shutil.which("chromium")
    assert path is not None, "the browser tests need Debian's chromium; scripts/test installs it"
    with sync_playwright() as playwright:
        # Without its sandbox, since tests often run as root; all it visits are pages of the test's own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


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
