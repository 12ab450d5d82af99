# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages as a user uses them. Every step waits until the page has what the step needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")
PATIENCE = 180
CALL = """
const [address, method, done] = arguments;
const token = document.cookie.split("; ").find((pair) => pair.startsWith("_xsrf="));
fetch(address, {method, headers: {"X-XSRFToken": token ? token.slice(6) : ""}}).then(
    async (answer) => done([answer.status, await answer.text()]), (error) => done([0, String(error)]));
"""
SETTLED = """
const done = arguments[0];
document.fonts.ready.then(() => requestAnimationFrame(() => requestAnimationFrame(() => done(document.readyState))));
"""


class NotSeen(Exception):
    """Something did not appear in time."""


class LoginRejected(Exception):
    """The hub rejected the login."""


class Page:
    """A browser and the directory for its pictures."""

    def __init__(self, driver: webdriver.Chrome, hub: str, pictures: Path) -> None:
        self.driver, self.hub, self.pictures = driver, hub, pictures

    def open(self, path: str) -> None:
        """Go to a path of the hub."""
        self.driver.get(self.hub + path)

    def until(self, what: str, true: Callable[[], T | None]) -> T:
        """Wait for a true value and return it; raise NotSeen with the page's text after PATIENCE seconds."""
        wait = WebDriverWait(self.driver, PATIENCE, 0.2, [StaleElementReferenceException])
        try:
            return wait.until(lambda _: true() or False)
        except TimeoutException:
            self.driver.save_screenshot(str(self.pictures / "not-seen.png"))
            raise NotSeen(
                f"no {what} after {PATIENCE} s at {self.driver.current_url} (picture: {self.pictures / 'not-seen.png'})"
                f"\n{self.text()[:2000]}"
            ) from None

    def all(self, selector: str) -> list[WebElement]:
        """Return the visible elements that match."""
        return [element for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]

    def see(self, selector: str) -> WebElement:
        """Wait until an element is visible and return it."""
        return self.until(selector, lambda: self.all(selector))[0]

    def text(self) -> str:
        """Return the text of the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def call(self, path: str, method: str) -> tuple[int, str]:
        """Send a request from the open page; return the status and the body."""
        status, body = self.driver.execute_async_script(CALL, self.hub + path, method)
        return int(status), str(body)

    def picture(self, name: str) -> None:
        """Take a picture of the page once it is drawn."""
        self.until("whole page", lambda: self.driver.execute_async_script(SETTLED) == "complete")
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))

    # --- the hub

    def log_in(self, name: str, password: str) -> None:
        """Fill in the login form; raise LoginRejected when the hub rejects it."""
        self.see("input[name=username]").send_keys(name)
        self.see("input[name=password]").send_keys(password)
        self.see("form [type=submit]").click()
        self.until("answer to the login", lambda: self.all(".login_error") or not self.all("input[name=password]"))
        if errors := self.all(".login_error"):
            raise LoginRejected(f"{name}: {errors[0].text}")

    def stop_server(self) -> None:
        """Stop the user's server on the home page, and wait until the hub shows that it has stopped."""
        self.open("/hub/home")
        self.see("#start")
        for button in self.all("#stop"):
            button.click()
            self.until("end of the server", lambda: not self.all("#stop"))
        self.until("home page without a running server", self._server_is_gone)

    def _server_is_gone(self) -> bool:
        self.open("/hub/home")
        return self.see("#start").text == "Start My Server"


class Lab:
    """A user's JupyterLab, in its own workspace so that the user's open tabs stay."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.user, self.root = page, name, f"/user/{name}"
        self.workspace = "gpulab-browser-test"

    def wait_until_loaded(self) -> None:
        """Wait until JupyterLab is loaded, after the server has started."""
        self.page.see("#jp-main-dock-panel")

    def open(self) -> None:
        """Open the launcher in a clean workspace."""
        self.page.open(f"{self.root}/lab/workspaces/{self.workspace}?reset")
        self.page.see(".jp-Launcher")

    def notices(self) -> list[str]:
        """Return the texts of pop-ups."""
        return [element.text for element in self.page.all(".Toastify__toast, .jp-Dialog")]

    def picture(self, name: str) -> None:
        """Take a picture; fail when a pop-up covers the page."""
        self.page.picture(name)
        assert self.notices() == []

    def tiles(self) -> list[str]:
        """Return the kernels that the launcher offers for notebooks."""
        cards = self.page.all('.jp-Launcher .jp-LauncherCard[data-category="Notebook"]')
        return [str(card.get_attribute("title")) for card in cards]

    def remove_workspace(self) -> None:
        """Remove the workspace of the test."""
        self.open()
        self.page.call(f"{self.root}/lab/api/workspaces/{self.workspace}", "DELETE")

    @contextmanager
    def notebook(self, kernel: str) -> Iterator[Notebook]:
        """Make a notebook with the launcher's tile; end its kernel and delete its file afterwards."""
        self.open()
        self.page.see(f'.jp-Launcher .jp-LauncherCard[data-category="Notebook"][title="{kernel}"]').click()
        opened = Notebook(self.page, self.root)
        try:
            yield opened
        finally:
            opened.delete()


class Notebook:
    """The notebook that is open."""

    PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"

    def __init__(self, page: Page, root: str) -> None:
        self.page, self.root = page, root
        address = page.until("notebook", lambda: re.search(r"/tree/([^?]+\.ipynb)", page.driver.current_url))
        self.path = address[1]
        # The page shows "idle" before it is connected to the kernel, and loses cells that run then: query the server.
        page.until("connected kernel", lambda: any(kernel["connections"] for kernel in self._kernels()))
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.see(f'{self.PANEL} .jp-Notebook-ExecutionIndicator[data-status="idle"]')

    def run(self, code: str) -> str:
        """Type code into the first cell, run it, and return the output on the page."""
        cell = f"{self.PANEL} .jp-CodeCell"
        editor = self.page.see(f"{cell} .cm-content")
        editor.click()
        editor.send_keys(code)
        typed = self.page.driver.execute_script(
            "return [...arguments[0].querySelectorAll('.cm-line')].map((line) => line.textContent).join('\\n')", editor
        )
        assert typed == code, f"the editor changed the typed text:\n{typed}"
        editor.send_keys(Keys.SHIFT, Keys.ENTER)
        first = f"{cell}:first-child"
        self.page.until("end of the cell", lambda: re.fullmatch(r"\[\d+\]:", self._prompt(first)))
        self.wait_for_kernel()
        return "\n".join(found.text for found in self.page.all(f"{first} .jp-OutputArea-output"))

    def _prompt(self, cell: str) -> str:
        return self.page.see(f"{cell} .jp-InputArea-prompt").text.strip()

    def delete(self) -> None:
        """End the kernel and delete the file."""
        for kernel in self._kernels():
            self.page.call(f"{self.root}/api/kernels/{kernel['id']}", "DELETE")
        status, answer = self.page.call(f"{self.root}/api/contents/{self.path}", "DELETE")
        assert status in (204, 404), f"{self.path} was not deleted: HTTP {status} {answer}"

    def _kernels(self) -> list[dict[str, Any]]:
        status, answer = self.page.call(f"{self.root}/api/sessions", "GET")
        sessions = json.loads(answer) if status == 200 else []
        return [session["kernel"] for session in sessions if session["path"] == self.path]
