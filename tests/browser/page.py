"""A headless Chromium, and what is in its window: found by what a person reads, waited for as a person would.

Needs Debian's packages ``chromium`` and ``chromium-driver``, and Selenium.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

PATIENCE_SECONDS = 120
#: Pixels, width and height of what is inside the window.
WINDOW = (1200, 900)
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it, as in most containers
    "--disable-gpu",
    "--disable-dev-shm-usage",  # it is small in most containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
    "--lang=en-US",
)
#: What a page that is being redrawn answers; a person would just look again.
_REDRAWN = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
_SETTLED = """
const done = arguments[0];
let timer;
const rest = () => { watch.disconnect(); requestAnimationFrame(() => done()); };
const again = () => { clearTimeout(timer); timer = setTimeout(rest, 400); };
const watch = new MutationObserver(again);
watch.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
setTimeout(rest, 3000);
again();
"""


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Run the installed Chromium, without a window, on a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


class Page:
    """What a person sees and does in one window.

    :param url: where all addresses begin.
    :param pictures: takes the PNG files; None: none are kept.
    """

    def __init__(self, driver: webdriver.Chrome, url: str, pictures: Path | None = None) -> None:
        self.driver = driver
        self.url = url
        self._pictures = pictures

    # --- to look ---------------------------------------------------------------------------------------------

    def open(self, path: str, view: tuple[int, int] = WINDOW) -> None:
        """Show a page on that many pixels; what another page said in passing is gone."""
        self.resize(view)
        self.driver.get(self.url + path)

    def resize(self, view: tuple[int, int]) -> None:
        """Make what is inside the window that many pixels wide and high."""
        width, height = view
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until a condition holds; return what it returned.

        :param what: how the sentence goes on that says what did not come.
        :raises AssertionError: with what is to be read in the window instead.
        """
        waiting = WebDriverWait(self.driver, PATIENCE_SECONDS, 0.1, ignored_exceptions=_REDRAWN)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            where, seen = self.driver.current_url, self.text()
        raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}. At {where} stands:\n{seen}")

    def all(self, xpath: str) -> list[WebElement]:
        """Return the elements there that can be seen now."""
        return [each for each in self.driver.find_elements("xpath", xpath) if each.is_displayed()]

    def find(self, xpath: str) -> WebElement:
        """Return the last element there that can be seen, as soon as there is one."""
        found: WebElement = self.until(lambda: self.all(xpath), f"something to be seen at {xpath}")[-1]
        return found

    def text(self, xpath: str = "//body") -> str:
        """Return what is to be read there now, or nothing."""
        return "\n".join(each.text for each in self.all(xpath)).replace("\N{NO-BREAK SPACE}", " ")

    def read(self, *texts: str, within: str = "//body") -> str:
        """Wait until all these texts are to be read; return all that is."""

        def found() -> str | None:
            seen = self.text(within)
            return seen if all(text in seen for text in texts) else None

        seen: str = self.until(found, f"{' and '.join(map(repr, texts))} can be read")
        return seen

    # --- to do -----------------------------------------------------------------------------------------------

    def click(self, xpath: str) -> None:
        """Click, as soon as nothing is in the way."""

        def clicked() -> bool:
            self.all(xpath)[-1].click()
            return True

        self.until(lambda: self.all(xpath) and clicked(), f"something to click at {xpath}")

    def write(self, xpath: str, text: str) -> None:
        """Type into a field, in place of what is there."""
        self.find(xpath).send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, text)

    def press(self, key: str) -> None:
        """Press a key."""
        ActionChains(self.driver).send_keys(key).perform()

    def scroll_to(self, text: str, within: str) -> None:
        """Turn the mouse's wheel over something until a text can be read there."""

        def scrolled() -> bool:
            if text in self.text(within):
                return True
            origin = ScrollOrigin.from_element(self.find(within))
            ActionChains(self.driver).scroll_from_origin(origin, 0, 300).perform()
            return False

        self.until(scrolled, f"{text!r} can be read")

    # --- to keep ---------------------------------------------------------------------------------------------

    def picture(self, name: str, view: tuple[int, int] | None = None) -> None:
        """Keep what is in the window as a PNG file, if pictures are asked for."""
        if self._pictures is not None:
            if view is not None:
                self.resize(view)
            self.settle()
            (self._pictures / name).write_bytes(self.driver.get_screenshot_as_png())

    def snap(self, xpath: str) -> bytes:
        """Return what stands there as PNG, if pictures are asked for, else nothing."""
        if self._pictures is None:
            return b""
        self.settle()
        return bytes(self.find(xpath).screenshot_as_png)

    def beside(self, name: str, *pictures: bytes) -> None:
        """Keep several pictures beside one another in one, if pictures are asked for."""
        if self._pictures is None:
            return
        frame = "border:1px solid #cbd5e1;border-radius:8px;margin:6px"
        images = "".join(
            f"<img style='{frame}' src='data:image/png;base64,{base64.b64encode(each).decode()}'>" for each in pictures
        )
        row = f"<div style='display:inline-flex;align-items:flex-start;background:#fff'>{images}</div>"
        self.resize((2400, 2400))
        self.driver.get("about:blank")
        self.driver.execute_script("document.body.style.margin = 0; document.body.innerHTML = arguments[0]", row)
        (self._pictures / name).write_bytes(self.snap("//div"))

    def settle(self) -> None:
        """Wait until nothing in the window changes any more, three seconds at most."""
        self.driver.execute_async_script(_SETTLED)
