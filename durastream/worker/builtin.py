"""Activities that every worker has: `durastream.http`, behind `ctx.call_http`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from durastream.app import App
from durastream.errors import NonRetryableError

_BODY_BYTES_MAX = 1024 * 1024  # what an activity result can hold
_SOCKET_TIMEOUT_S = 60.0
_SCHEMES = ("http://", "https://")

builtin = App()


@dataclass(frozen=True)
class HttpRequest:
    method: str
    url: str
    content: Any = None  # text is sent as it is, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    content: str


@builtin.activity(name="durastream.http")
def http(request: HttpRequest) -> HttpResponse:
    """Any answer of the server is a result, whatever its status; failing to get one fails the activity, and may be retried."""
    if not request.url.lower().startswith(_SCHEMES):
        raise NonRetryableError(f"call_http takes http:// and https:// URLs, not {request.url[:100]!r}")
    body, headers = _body(request.content, dict(request.headers))
    call = urllib.request.Request(request.url, data=body, headers=headers, method=request.method.upper())
    try:
        with urllib.request.urlopen(call, timeout=_SOCKET_TIMEOUT_S) as answer:
            return _response(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            return _response(answer)


def _body(content: Any, headers: dict[str, str]) -> tuple[bytes | None, dict[str, str]]:
    if content is None:
        return None, headers
    if isinstance(content, str):
        return content.encode(), headers
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return json.dumps(content).encode(), headers


def _response(answer: Any) -> HttpResponse:
    data = answer.read(_BODY_BYTES_MAX + 1)
    if len(data) > _BODY_BYTES_MAX:
        raise NonRetryableError(
            f"the response is larger than {_BODY_BYTES_MAX} bytes: fetch it in an activity of your own"
        )
    return HttpResponse(answer.status, dict(answer.headers.items()), data.decode(errors="replace"))
