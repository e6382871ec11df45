"""A real Chromium, driven over the Chrome DevTools Protocol.

Methods and events: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.running import DEADLINE_S, wait_until

OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-sandbox",  # which asks for rights that a container may lack; all pages here are ours
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--mute-audio",
    # A microphone that beeps, and a user who allows it.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # What is not served from this machine does not exist.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36}
TEXTS = {"Enter": "\r", " ": " "}


@dataclass
class Browser:
    """A connection to a running Chromium."""

    socket: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)
    n_sent: int = 0
    interceptions: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result. Events that come meanwhile are kept."""
        number = self._post(method, session, parameters)
        end = time.monotonic() + DEADLINE_S
        while True:
            answer = json.loads(self.socket.recv(timeout=max(0.0, end - time.monotonic())))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
            if answer.get("method") == "Fetch.requestPaused":
                self._answer_instead(answer["sessionId"], answer["params"]["requestId"])

    def _post(self, method: str, session: str | None, parameters: dict[str, Any]) -> int:
        self.n_sent += 1
        message: dict[str, Any] = {"id": self.n_sent, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        return self.n_sent

    def _answer_instead(self, session: str, request: str) -> None:
        status, body, headers = self.interceptions[session]
        listed = [{"name": name, "value": value} for name, value in headers.items()]
        parameters = {
            "requestId": request,
            "responseCode": status,
            "responseHeaders": listed,
            "body": base64.b64encode(body.encode()).decode(),
        }
        self._post("Fetch.fulfillRequest", session, parameters)

    @contextmanager
    def tab(self, *, width: int = 1100, dark: bool = False, mobile: bool = False) -> Iterator[Tab]:
        """A tab with cookies, cache and permissions of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        made = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.send("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"], context)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            tab.send(f"{domain}.enable")
        tab.resize(width, mobile=mobile)
        tab.send("Emulation.setScrollbarsHidden", hidden=True)  # the picture is as wide as asked
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.send("Emulation.setEmulatedMedia", features=[scheme])
        try:
            yield tab
        finally:
            self.send("Target.disposeBrowserContext", browserContextId=context)


@dataclass
class Tab:
    """One page, as a user has it before them."""

    browser: Browser
    session: str
    context: str

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **parameters)

    def events(self, method: str) -> list[dict[str, Any]]:
        """Parameters of the events of this tab with that name, the first one first."""
        found = (event for event in self.browser.events if event.get("sessionId") == self.session)
        return [event["params"] for event in found if event.get("method") == method]

    def copied(self) -> str:
        """The text in the clipboard."""
        self.browser.send(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite"],
            browserContextId=self.context,
        )
        self.send("Page.bringToFront")
        text: str = self.evaluate("navigator.clipboard.readText()")
        return text

    def answer_instead(
        self, pattern: str, status: int, body: str, headers: Mapping[str, str]
    ) -> None:
        """Answer requests to addresses of that pattern in the place of their server.

        Every event is read while something else is sent, so poll the page.
        """
        self.browser.interceptions[self.session] = (status, body, dict(headers))
        self.send("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def resize(self, width: int, height: int = 900, *, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def open(self, url: str) -> None:
        assert "errorText" not in self.send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: bool(self.evaluate(f"Boolean({condition})")), condition)

    def text(self, selector: str) -> str:
        """The text of the first such element, as it is shown."""
        shown: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return shown

    def is_shown(self, selector: str) -> bool:
        query = f"document.querySelector({json.dumps(selector)})"
        return bool(self.evaluate(f"{query}?.checkVisibility() ?? false"))

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drop_files(self, *paths: Path) -> None:
        """Drag files over the page and let go of them."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=300, y=200, data=data)

    def place(self, selector: str, share: float = 0.5) -> tuple[float, float]:
        """A point of an element in the window, `share` of its width from its left."""
        box: dict[str, float] = self.evaluate(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            " node.scrollIntoView({block: 'center', behavior: 'instant'});"
            " return node.getBoundingClientRect().toJSON(); })()"
        )
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    def mouse(self, kind: str, x: float, y: float) -> None:
        held = {"button": "left", "buttons": 0 if kind == "mouseReleased" else 1, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, selector: str, from_share: float, to_share: float) -> None:
        """Press at a share of the element's width, move in steps, and let go."""
        (x, y), (end, _) = self.place(selector, from_share), self.place(selector, to_share)
        self.mouse("mousePressed", x, y)
        for step in range(1, 6):
            self.mouse("mouseMoved", x + (end - x) * step / 5, y)
        self.mouse("mouseReleased", end, y)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = {"key": key, "code": key if key != " " else "Space"}
        code |= {"windowsVirtualKeyCode": KEYS[key]}  # type: ignore[dict-item]
        text = {"text": TEXTS[key]} if key in TEXTS else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def write(self, text: str) -> None:
        """Write into the element that has the focus."""
        self.send("Input.insertText", text=text)

    def focused(self) -> str:
        """Id of the element that has the focus."""
        name: str = self.evaluate("document.activeElement.id")
        return name

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the whole page, or of the window alone."""
        taken = self.send("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(taken["data"]))

    def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader is told."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def complaints(self) -> list[str]:
        """Errors of scripts and violations of the policy; refusals of the service are not among."""
        self.evaluate("0")  # what happened before has been told
        entries = [event["entry"] for event in self.events("Log.entryAdded")]
        found = [
            entry["text"]
            for entry in entries
            if entry["level"] in ("error", "warning") and entry["source"] != "network"
        ]
        thrown = self.events("Runtime.exceptionThrown")
        found += [event["exceptionDetails"]["text"] for event in thrown]
        written = self.events("Runtime.consoleAPICalled")
        return found + [str(event["args"]) for event in written if event["type"] == "error"]

    def requested(self) -> list[str]:
        """Addresses of every request of the page."""
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A running Chromium with a profile of its own below `folder`."""
    profile, log = folder / "profile", folder / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["chromium", *OPTIONS, f"--user-data-dir={profile}"], stdout=output, stderr=output
        )
    listening = profile / "DevToolsActivePort"
    try:
        wait_until(
            lambda: (
                process.poll() is not None
                or (listening.exists() and len(listening.read_text().split()) == 2)
            ),
            "Chromium listens",
        )
        assert process.poll() is None, log.read_text()
        port, path = listening.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        finally:
            process.kill()
