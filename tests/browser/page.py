"""A headless Chromium and its window: elements are found by their text, and waited for.

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

TIMEOUT_SECONDS = 120
#: Pixels, width and height of what is inside the window.
WINDOW = (1200, 900)
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium does not run as root with a sandbox, as in most containers
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
#: Errors of a page that is being redrawn: try again.
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
    """Run the installed Chromium headless with a temporary profile."""
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
    """One browser window.

    :param url: the URL to which all paths are appended.
    :param pictures: the folder for PNG files; None: pictures are not saved.
    """

    def __init__(self, driver: webdriver.Chrome, url: str, pictures: Path | None = None) -> None:
        self.driver = driver
        self.url = url
        self._pictures = pictures

    # --- reading ---------------------------------------------------------------------------------------------

    def open(self, path: str, view: tuple[int, int] = WINDOW) -> None:
        """Open a page in a window of this size in pixels."""
        self.resize(view)
        self.driver.get(self.url + path)

    def resize(self, view: tuple[int, int]) -> None:
        """Set width and height of the inside of the window, in pixels."""
        width, height = view
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until a condition holds; return what it returned.

        :param what: the condition, for the error message.
        :raises AssertionError: after a timeout, with the text in the window.
        """
        waiting = WebDriverWait(self.driver, TIMEOUT_SECONDS, 0.1, ignored_exceptions=_REDRAWN)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            where, seen = self.driver.current_url, self.text()
        raise AssertionError(f"not within {TIMEOUT_SECONDS} s: {what}. The text at {where} is:\n{seen}")

    def all(self, xpath: str) -> list[WebElement]:
        """Return the visible elements at an XPath."""
        return [each for each in self.driver.find_elements("xpath", xpath) if each.is_displayed()]

    def find(self, xpath: str) -> WebElement:
        """Wait for a visible element at an XPath; return the last one."""
        found: WebElement = self.until(lambda: self.all(xpath), f"an element is visible at {xpath}")[-1]
        return found

    def text(self, xpath: str = "//body") -> str:
        """Return the visible text at an XPath, which may be empty."""
        return "\n".join(each.text for each in self.all(xpath)).replace("\N{NO-BREAK SPACE}", " ")

    def read(self, *texts: str, within: str = "//body") -> str:
        """Wait until all these strings are visible; return all visible text."""

        def found() -> str | None:
            seen = self.text(within)
            return seen if all(text in seen for text in texts) else None

        seen: str = self.until(found, f"{' and '.join(map(repr, texts))} are visible")
        return seen

    # --- acting -----------------------------------------------------------------------------------------------

    def click(self, xpath: str) -> None:
        """Click on an element as soon as it can be clicked."""

        def clicked() -> bool:
            self.all(xpath)[-1].click()
            return True

        self.until(lambda: self.all(xpath) and clicked(), f"an element can be clicked at {xpath}")

    def write(self, xpath: str, text: str) -> None:
        """Replace the text in a field."""
        self.find(xpath).send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, text)

    def press(self, key: str) -> None:
        """Press a key."""
        ActionChains(self.driver).send_keys(key).perform()

    def scroll_to(self, text: str, within: str) -> None:
        """Scroll an element until a string is visible in it."""

        def scrolled() -> bool:
            if text in self.text(within):
                return True
            origin = ScrollOrigin.from_element(self.find(within))
            ActionChains(self.driver).scroll_from_origin(origin, 0, 300).perform()
            return False

        self.until(scrolled, f"{text!r} is visible")

    # --- pictures ---------------------------------------------------------------------------------------------

    def picture(self, name: str, view: tuple[int, int] | None = None) -> None:
        """Save the window as a PNG file, if pictures are saved."""
        if self._pictures is not None:
            if view is not None:
                self.resize(view)
            self.settle()
            (self._pictures / name).write_bytes(self.driver.get_screenshot_as_png())

    def screenshot(self, xpath: str) -> bytes:
        """Return an element as PNG; empty if pictures are not saved."""
        if self._pictures is None:
            return b""
        self.settle()
        return bytes(self.find(xpath).screenshot_as_png)

    def picture_in_a_row(self, name: str, *pictures: bytes) -> None:
        """Save several pictures in a row as one, if pictures are saved."""
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
        (self._pictures / name).write_bytes(self.screenshot("//div"))

    def settle(self) -> None:
        """Wait until nothing in the window changes, at most three seconds."""
        self.driver.execute_async_script(_SETTLED)
