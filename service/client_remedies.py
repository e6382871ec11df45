"""Remedies of mistakes in an upload, in the words of the client that made the mistake.

A remedy in the words of another program is no remedy: who calls `fetch` cannot type `-F`. The
client is known by its `User-Agent`; an unknown client gets the words of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from urllib.parse import quote

from starlette.requests import Request

RAW = "audio/mpeg"


@dataclass(frozen=True)
class ClientRemedies:
    """What to write instead, in one client's words.

    Attributes
    ----------
    file : sends a file in a form
    raw : sends a file as the body
    boundary : leaves the boundary of a form to the client
    content : sends the file's bytes instead of its name
    address : sends a parameter; `{name!r}`, `{value!r}` and `{address}` (path and query) are
        filled in
    key : sends an API key
    """

    file: str
    raw: str
    boundary: str
    content: str
    address: str
    key: str

    def of_parameter(self, path: str, name: str, value: str) -> str:
        """The remedy of a parameter that was sent as a field of the form."""
        address = f"{path}?{name}={quote(value, safe=',:')}"
        written = self.address.format(name=name, value=value, address=address)
        return f"the parameter goes into the address: `{address}`; {written}"


CURL = ClientRemedies(
    file="curl -F file=@song.mp3",
    raw=f"curl --data-binary @song.mp3 -H 'Content-Type: {RAW}'",
    boundary="leave out -H 'Content-Type: …', since -F file=@song.mp3 writes it with its boundary",
    content="did you forget the @? curl -F file=@song.mp3",
    address="curl -F file=@song.mp3 '…{address}'",
    key="curl -H 'X-API-Key: <key>'",
)
FETCH = ClientRemedies(
    file="form.append('file', input.files[0]); fetch(url, {method: 'POST', body: form})",
    raw=f"fetch(url, {{method: 'POST', body: file, headers: {{'Content-Type': '{RAW}'}}}})",
    boundary="leave out the header Content-Type, since fetch(url, {method: 'POST', body: form}) "
    "writes it with its boundary",
    content="append the File, not its name: form.append('file', input.files[0])",
    address="fetch('{address}', {{method: 'POST', body: form}})",
    key="fetch(url, {headers: {'X-API-Key': key}})",
)
REQUESTS = ClientRemedies(
    file="requests.post(url, files={'file': open('song.mp3', 'rb')})",
    raw=f"requests.post(url, data=open('song.mp3', 'rb'), headers={{'Content-Type': '{RAW}'}})",
    boundary="leave out headers={'Content-Type': …}, since files={'file': open('song.mp3', 'rb')} "
    "writes it with its boundary",
    content="open the file: requests.post(url, files={'file': open('song.mp3', 'rb')})",
    address="requests.post(url, params={{{name!r}: {value!r}}}, files=…)",
    key="requests.post(url, headers={'X-API-Key': key})",
)
POWERSHELL = ClientRemedies(
    file="Invoke-RestMethod $url -Method Post -Form @{file = Get-Item song.mp3}",
    raw=f"Invoke-RestMethod $url -Method Post -InFile song.mp3 -ContentType {RAW}",
    boundary="leave out -ContentType, since -Form @{file = Get-Item song.mp3} writes it with its "
    "boundary",
    content="send the file, not its name: -Form @{file = Get-Item song.mp3}",
    address="Invoke-RestMethod '…{address}' -Method Post -Form …",
    key="Invoke-RestMethod $url -Headers @{'X-API-Key' = $key}",
)
# Windows PowerShell 5.1 has no -Form, so that a file is sent as the body.
POWERSHELL_5 = ClientRemedies(
    file=POWERSHELL.raw,
    raw=POWERSHELL.raw,
    boundary=f"send the file as the body, since this PowerShell writes no form: {POWERSHELL.raw}",
    content=f"send the file, not its name: {POWERSHELL.raw}",
    address=f"Invoke-RestMethod '…{{address}}' -Method Post -InFile song.mp3 -ContentType {RAW}",
    key=POWERSHELL.key,
)


def _join(*clients: ClientRemedies) -> ClientRemedies:
    names = [field.name for field in fields(ClientRemedies)]
    return ClientRemedies(
        **{name: " | ".join(getattr(client, name) for client in clients) for name in names}
    )


ANY = _join(CURL, FETCH, REQUESTS, POWERSHELL)
# By a part of `User-Agent`, in this order: PowerShell and curl in it count before Mozilla.
AGENTS = {
    "windowspowershell": POWERSHELL_5,
    "powershell": POWERSHELL,
    "curl/": CURL,
    "wget": CURL,
    "python": REQUESTS,
    "mozilla/": FETCH,
    "node": FETCH,
    "axios": FETCH,
    "undici": FETCH,
    "deno": FETCH,
    "bun/": FETCH,
}


def remedies_of(request: Request) -> ClientRemedies:
    """The remedies in the words of the client that sent the request."""
    return of_headers(request.scope["headers"])


def of_headers(headers: Iterable[tuple[bytes, bytes]]) -> ClientRemedies:
    agents = (value for name, value in headers if name == b"user-agent")
    agent = next(agents, b"")[:256].decode("latin-1").lower()
    return next((remedies for part, remedies in AGENTS.items() if part in agent), ANY)
