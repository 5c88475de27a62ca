"""The page in a real browser: a story streams, Stop stops it, a second tab waits, the map changes.

With XENON_LLM_PICTURE=docs/serve.png the picture of the README is made anew.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from api_server import MODEL, api_server, ask
from support import LONG, WHOLE

import xenon
from xenon.stories.settings import Sampling

if TYPE_CHECKING:
    from xenon.serve.server import ApiServer

_ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the page needs playwright: pip install playwright"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("the page needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a context of its own; what the browser complains of fails the test at its end."""
    contexts, complaints = [], []

    def make(server: ApiServer, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.extend(outside(request.url, server)))
        page.on("request", lambda request: complaints.extend(outside(request.url, server)))
        page.on("console", lambda message: complaints.extend(refused(message)))
        page.goto(server.address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def outside(url: str, server: ApiServer) -> list[str]:
    return [] if url.startswith((server.address, "data:")) else [url]


def refused(message: Any) -> list[str]:
    return [message.text] if "Content Security Policy" in message.text else []


def until(page: Any, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, page.inner_text("body")
        page.wait_for_timeout(40)


def text(page: Any, name: str) -> str:
    return str(page.text_content(f"#{name}"))


def positions(page: Any) -> int:
    return int(page.get_attribute("#strip", "data-positions") or 0)


def fill(page: Any, seed: int = 2, tokens: int = 256, prompt: str = "Sleepy Joe said") -> None:
    page.fill("#prompt", prompt)
    page.fill("#seed", str(seed))
    page.fill("#tokens", str(tokens))


def test_a_story_is_told_and_the_map_fills(server: ApiServer, new_page: Callable[..., Any]) -> None:
    page = new_page(server, viewport={"width": 1180, "height": 1090})
    fill(page)
    before = positions(page)
    page.focus("#prompt")
    page.keyboard.press("Control+Enter")
    until(page, lambda: bool(text(page, "figures")))
    expected = "".join(xenon.Session().tell("Sleepy Joe said", Sampling(0.8, seed=2)))
    assert text(page, "story") == text(page, "screen") == expected.removesuffix("\n")
    until(page, lambda: positions(page) != before)
    assert positions(page) == 4 + 221
    assert MODEL in text(page, "model")
    assert page.locator("#threads li").count() == 6
    assert "key cache" in text(page, "legend")
    assert "Xbox 360, GPU" in text(page, "speeds")
    until(page, lambda: page.get_attribute("#state", "data-state") == "idle" and text(page, "speed") != "–")
    if target := os.environ.get("XENON_LLM_PICTURE"):
        page.screenshot(path=Path(target))


@LONG
def test_escape_stops(slow_server: ApiServer, new_page: Callable[..., Any]) -> None:
    page = new_page(slow_server)
    begin(page)
    page.keyboard.press("Escape")
    until(page, lambda: text(page, "figures") == "stopped")
    told = text(page, "story")
    until(page, lambda: ask(slow_server.address, "/console").json["consoles"][0]["running"] is False)
    assert text(page, "story") == told


def begin(page: Any) -> None:
    """A story that goes on longer than most, for 387 tokens, until it has some words."""
    fill(page, seed=36, tokens=500)
    page.fill("#temperature", "2")
    page.click("#tell")
    until(page, lambda: len(text(page, "story")) > 30)
    assert page.is_disabled("#tell")
    until(page, lambda: page.get_attribute("#state", "data-state") == "busy")


def test_a_second_tab_waits_its_turn_and_stop_stops(
    slow_server: ApiServer, new_page: Callable[..., Any]
) -> None:
    first, second = new_page(slow_server), new_page(slow_server)
    begin(first)
    fill(second, tokens=2)
    second.click("#tell")
    until(second, lambda: text(second, "note") == "Waiting: 1 story is before this one.")
    until(second, lambda: "1 waiting" in text(second, "state"))
    assert text(second, "story") == "Sleepy Joe said"
    first.click("#stop")
    until(first, lambda: text(first, "figures") == "stopped")
    told = text(first, "story")
    until(second, lambda: "2 told" in text(second, "figures"))
    until(second, lambda: ask(slow_server.address, "/console").json["consoles"][0]["running"] is False)
    assert text(first, "story") == told


def test_an_error_shows(server: ApiServer, new_page: Callable[..., Any]) -> None:
    page = new_page(server)
    fill(page, prompt="a b " * 900)
    page.click("#tell")
    until(page, lambda: page.is_visible("#error"))
    assert "the context of 512 tokens has no room" in text(page, "error")
    fill(page, tokens=3)
    page.click("#tell")
    until(page, lambda: "3 told" in text(page, "figures"))
    assert not page.is_visible("#error")


@LONG  # the key of the API is tested without a browser
def test_the_key_is_asked_for(new_page: Callable[..., Any]) -> None:
    with api_server(key="a key of a test") as server:
        page = new_page(server)
        until(page, lambda: page.is_visible("#key"))
        page.fill("#key", "a key of a test")
        fill(page, tokens=3)
        page.click("#tell")
        until(page, lambda: "3 told" in text(page, "figures"))
        until(page, lambda: text(page, "state") == "ready")


@pytest.mark.parametrize("scheme", ["light", "dark"] if WHOLE else ["dark"])
def test_a_phone_needs_no_scrolling_sideways(
    server: ApiServer, new_page: Callable[..., Any], scheme: str
) -> None:
    page = new_page(server, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    until(page, lambda: text(page, "state") == "ready")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")


def test_everything_has_a_name_and_a_place_in_the_order_of_keys(
    server: ApiServer, new_page: Callable[..., Any]
) -> None:
    page = new_page(server)
    until(page, lambda: text(page, "state") == "ready")
    for role, name in (
        ("textbox", "How does it begin?"),
        ("spinbutton", "Temperature"),
        ("spinbutton", "Seed"),
        ("spinbutton", "Tokens"),
        ("button", "Tell a story"),
        ("button", "Stop"),
        ("article", "The story"),
        ("complementary", "The console"),
        ("region", "Hardware threads"),
    ):
        assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert "are used" in (page.get_attribute("#strip", "aria-label") or "")
    order = []
    page.focus("#prompt")
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
    assert order == ["temperature", "seed", "tokens", "tell", "story"]
