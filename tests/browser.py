"""Fixtures for pages in a real browser: Debian's Chromium through Playwright, with nothing from a network.

A test module takes them with ``pytest_plugins = ["browser"]``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Start the browser once; skip where there is none."""
    reason = "no Playwright: python -m pip install playwright axe-playwright-python"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a file: ``show(path, width=1280, dark=False, script=True)`` → Playwright's page.

    At the end the test fails if a page said something on its console or asked for anything but files beside it.
    """
    contexts: list[Any] = []
    complaints: list[str] = []
    asked: list[str] = []

    def opened(path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            accept_downloads=True,
        )
        contexts.append(context)
        context.route("**/*", lambda route: route.continue_() if _is_local(route.request.url) else route.abort())
        context.on("request", lambda request: None if _is_local(request.url) else asked.append(request.url))
        context.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert asked == []


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "blob:"))


@pytest.fixture
def barriers(chromium: Any) -> Callable[[Any], list[str]]:
    """Return a function that lists what axe finds on a page: ``rule: element``, whatever its impact."""
    reason = "no axe: python -m pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()

    def found(page: Any) -> list[str]:
        violations = axe.run(page).response["violations"]
        return [f"{v['id']} ({v['impact']}): {node['html'][:200]}" for v in violations for node in v["nodes"]]

    return found
