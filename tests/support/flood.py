# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong passwords from many addresses of this host, and right logins among them; runs there, with its own Python.

Reads JSON from standard input: `port`; of the wrong passwords `sources`, `names`, `rate` (a second in all), `seconds`;
and `logins`: a list of [connect to, source address, name, password, second at which it begins]. Prints JSON: the number
of wrong passwords by status, and for each login its status and the seconds that it took.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import sys
import threading
import time
import urllib.parse
from collections import Counter
from typing import Any

DELAY = 3.0
"""Seconds after which a thread sends its next wrong password: a failed login is answered after two."""


class Browser:
    """One connection to the hub from one address."""

    def __init__(self, target: str, source: str, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.connection = http.client.HTTPSConnection(
            target, port, timeout=60, source_address=(source, 0), context=context
        )
        self.cookies: dict[str, str] = {}
        self.token = ""

    def _request(self, method: str, body: str = "") -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        for attempt in (1, 2):
            try:
                self.connection.request(method, "/hub/login", body or None, headers)
                answer = self.connection.getresponse()
                break
            except (ConnectionError, http.client.HTTPException):
                # The proxy closes connections that were idle.
                self.connection.close()
                if attempt == 2:
                    raise
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, answer.read().decode("utf-8", "replace")

    def open_page(self) -> None:
        """Load the login page, for its token."""
        found = re.search(r'name="_xsrf"\s+value="([^"]+)"', self._request("GET")[1])
        self.token = found[1] if found else ""

    def log_in(self, name: str, password: str) -> int:
        """Send the form; return the status, 302 for a right password."""
        form = {"username": name, "password": password, "_xsrf": self.token}
        return self._request("POST", urllib.parse.urlencode(form))[0]


def main() -> None:
    """Run until the time is over and all logins are answered."""
    task: dict[str, Any] = json.load(sys.stdin)
    found: Counter[str] = Counter()
    logins: list[Any] = [None] * len(task["logins"])
    start = time.monotonic() + 1
    threads = int(task["rate"] * DELAY)

    def flood(number: int) -> None:
        sources = task["sources"]
        browser = Browser("127.0.0.1", sources[number % len(sources)], task["port"])
        due = start + DELAY * number / threads
        while due < start + task["seconds"]:
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not browser.token:
                    browser.open_page()
                name = task["names"][number % len(task["names"])]
                found[str(browser.log_in(name, f"wrong-{number}"))] += 1
            except (OSError, http.client.HTTPException) as error:
                found[type(error).__name__] += 1
            due += DELAY

    def log_in(number: int) -> None:
        target, source, name, password, second = task["logins"][number]
        time.sleep(max(0, start + second - time.monotonic()))
        begin = time.monotonic()
        try:
            browser = Browser(target, source, task["port"])
            browser.open_page()
            status: Any = browser.log_in(name, password)
        except (OSError, http.client.HTTPException) as error:
            status = repr(error)
        logins[number] = [status, round(time.monotonic() - begin, 2)]

    running = [threading.Thread(target=flood, args=(number,)) for number in range(threads)]
    running += [threading.Thread(target=log_in, args=(number,)) for number in range(len(logins))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(timeout=task["seconds"] + 180)
    print(json.dumps({"wrong": found, "logins": logins}))  # noqa: T201


if __name__ == "__main__":
    main()
