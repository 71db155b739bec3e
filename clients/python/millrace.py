# SPDX-License-Identifier: Apache-2.0
"""Client of the Millrace API in one file: Python 3.9 or later, the standard library alone.

    client = Client("https://millrace.example", key="sk_live_…")
    booking = client.post("/v1/bookings", {"listing_id": "lst_…", "window": {…}})
    for listing in client.items("/v1/listings", state="PUBLISHED"): …
    for event in client.events(types=["booking"]): …

Every POST, PUT, PATCH and DELETE carries an Idempotency-Key, so a lost answer is asked for again and nothing is done
twice. A Client may be shared by threads. Nothing here is global.
"""
from __future__ import annotations

import base64
import collections
import copy
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import io
import json
import os
import random
import select
import socket
import ssl
import threading
import time
import urllib.parse
import uuid
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Union

__version__ = "0.1.0"
__all__ = ["Answer", "BadRequest", "Client", "Conflict", "Event", "Forbidden", "MillraceError", "NotFound", "PaymentRequired",
           "PreconditionFailed", "Problem", "RateLimited", "ServerError", "Unauthenticated", "Unprocessable", "Unreachable",
           "WebhookError", "merge_diff", "merge_patch", "sign_webhook", "verify_webhook"]

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# The outcome is not known, or it was not done: asking again with the same key is right.
RETRIED_STATUSES = (429, 502, 503, 504)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
LONGEST_RETRY_AFTER_SECONDS = 60.0
IDLE_CONNECTIONS_MAX, IDLE_SECONDS_MAX = 16, 60.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
STREAM_LINE_BYTES_MAX = 1024 * 1024
# The server pings each 15 s; a stream that is silent for three of them is dead.
STREAM_SILENCE_SECONDS = 45.0
WEBHOOK_TOLERANCE_SECONDS = 300


class MillraceError(Exception):
    """What this module raises, all of it."""


class Unreachable(MillraceError):
    """No whole answer came: what the call did is not known. Send it again with the same Idempotency-Key."""


class WebhookError(MillraceError):
    """A webhook that must not be trusted."""


class Problem(MillraceError):
    """A refusal (RFC 9457): `code` is stable, `detail` is for people, `errors` has a pointer for each faulty field."""

    def __init__(self, answer: Answer):
        self.answer, self.status, self.body = answer, answer.status, answer.body
        body = answer.body if isinstance(answer.body, dict) else {}
        self.code: str = body.get("code") or body.get("error") or ""  # "error": the token route's, RFC 6749
        self.title: str = body.get("title") or ""
        self.detail: str = body.get("detail") or body.get("error_description") or self.title
        self.errors: list = body.get("errors") or []
        self.request_id: str = body.get("request_id") or answer.request_id
        self.retryable: bool = bool(body.get("retryable", answer.status in RETRIED_STATUSES))
        self.retry_after: Optional[float] = _retry_after(answer.headers.get("retry-after", ""))
        said = f"{self.code}: {self.detail}" if self.code else answer.raw[:600].decode(errors="replace")
        fields = "".join(f"\n  {e.get('pointer') or e.get('parameter') or ''} {e.get('detail', '')}" for e in self.errors)
        asked = f" (request {self.request_id})" if self.request_id else ""
        super().__init__(f"{answer.call} -> {answer.status} {said}{asked}{fields}")

    @staticmethod
    def of(answer: Answer) -> Problem:
        """The exception that fits the status."""
        by_status = {400: BadRequest, 401: Unauthenticated, 402: PaymentRequired, 403: Forbidden, 404: NotFound, 409: Conflict,
                     412: PreconditionFailed, 422: Unprocessable, 428: PreconditionFailed, 429: RateLimited}
        return by_status.get(answer.status, ServerError if answer.status >= 500 else Problem)(answer)


class BadRequest(Problem):
    """400: not what the contract says."""


class Unauthenticated(Problem):
    """401: no credential, or one that is not valid any more."""


class PaymentRequired(Problem):
    """402: the balance is too low, or the custodian declined."""


class Forbidden(Problem):
    """403: the role or scope is missing."""


class NotFound(Problem):
    """404: not there, or another organization's."""


class Conflict(Problem):
    """409: taken, in the wrong state, or the same key is still being worked on."""


class PreconditionFailed(Problem):
    """412 or 428: the object changed since it was read, or If-Match is missing."""


class Unprocessable(Problem):
    """422: well-formed but wrong; `errors` names the fields."""


class RateLimited(Problem):
    """429: too many requests; `retry_after` says when to come back, in seconds."""


class ServerError(Problem):
    """5xx: the platform's own fault."""


class Answer:
    """An answer of the API. `body` is the JSON, `raw` the bytes; answer["id"] reads a member."""

    def __init__(self, call: str, status: int, headers: Mapping[str, str], raw: bytes):
        self.call, self.status, self.headers, self.raw = call, status, headers, raw
        try:
            self.body: Any = json.loads(raw) if raw else {}
        except ValueError:
            self.body = None  # a file
        self.etag = headers.get("etag", "").strip('"')
        self.replayed = headers.get("idempotent-replayed", "") == "true"
        self.request_id = headers.get("request-id", "")

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def __repr__(self) -> str:
        return f"<Answer {self.call} -> {self.status}>"


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened. Keep `id`: a later Client.events(last_event_id=id) goes on behind it. The type "reset" says that
    some events may have been missed, so objects must be read anew."""
    id: str
    type: str
    data: Any


def _retry_after(text: str) -> Optional[float]:
    """Seconds of a Retry-After; a date counts as none, since this server sends seconds."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _if_match(version: Union[str, Answer]) -> str:
    """An ETag as the header wants it: quoted, "*" as it is."""
    text = version.etag if isinstance(version, Answer) else version
    return text if text == "*" or text.startswith(('"', "W/")) else f'"{text}"'


def _query(path: str, parameters: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                raise ValueError("a time needs its zone")
            return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return str(value)

    pairs = []
    for name, value in parameters.items():
        if value is not None:
            pairs += [(name, text(one)) for one in (value if isinstance(value, (list, tuple, set)) else [value])]
    return path + ("&" if "?" in path else "?") + urllib.parse.urlencode(pairs) if pairs else path


class _Reader(io.RawIOBase):
    """A socket's bytes until a deadline: a server that sends a byte now and then cannot hold a call for ever."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]):
        self._sock, self._remaining = sock, remaining
        self._inner = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        self._sock.settimeout(self._remaining())
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Socket:
    """What http.client uses of a socket, under a deadline."""

    def __init__(self, sock: socket.socket):
        self.sock, self.deadline, self.silence = sock, 0.0, None

    def remaining(self) -> float:
        if self.silence is not None:
            return self.silence
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the answer took too long")
        return left

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(self.remaining())
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self.sock, self.remaining))

    def close(self) -> None:
        self.sock.close()


class _Connections:
    """Connections to one server that are kept between calls."""

    def __init__(self, url: str, ca_file: Optional[str]):
        at = urllib.parse.urlsplit(url)
        if at.scheme not in ("http", "https") or not at.hostname or at.query or at.fragment or at.username:
            raise ValueError(f"not the address of a server: {url}")
        self.host, self.port = at.hostname, at.port or (443 if at.scheme == "https" else 80)
        self.prefix = at.path.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file) if at.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: collections.deque = collections.deque()

    def open(self, timeout: float, fresh: bool) -> http.client.HTTPConnection:
        """One that seems to live, or a new one."""
        while not fresh:
            with self._lock:
                if not self._idle:
                    break
                connection, since = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS_MAX and not self._readable(connection):
                connection.sock.deadline = time.monotonic() + timeout
                return connection
            connection.close()
        deadline = time.monotonic() + timeout
        sock = socket.create_connection((self.host, self.port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        connection = http.client.HTTPConnection(self.host, self.port)
        if self._tls:
            connection.default_port = 443  # for the Host header
        connection.sock = _Socket(sock)
        connection.sock.deadline = deadline
        return connection

    @staticmethod
    def _readable(connection: http.client.HTTPConnection) -> bool:
        """Nothing is expected: what can be read is the server's goodbye."""
        try:
            return bool(select.select([connection.sock.sock], [], [], 0)[0])
        except ValueError:  # more descriptors than select can watch
            return True

    def keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < IDLE_CONNECTIONS_MAX:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, collections.deque()
        for connection, _ in idle:
            connection.close()


class Client:
    """Calls one server as one organization: with an API `key`, or with `client_id` and `client_secret`, which fetch
    access tokens (OAuth 2.0 client credentials) and renew them. `timeout` bounds each attempt as a whole, in seconds;
    `retries` is how often a call that may be repeated is sent again. `ca_file`: PEM for https; else the system's."""

    def __init__(self, url: str, key: Optional[str] = None, *, client_id: Optional[str] = None,
                 client_secret: Optional[str] = None, scope: Optional[str] = None, language: str = "en",
                 timeout: float = 30.0, retries: int = 4, ca_file: Optional[str] = None, user_agent: str = ""):
        if key and client_id:
            raise ValueError("an API key or a client_id, not both")
        if bool(client_id) != bool(client_secret):
            raise ValueError("client_id and client_secret go together")
        if language not in ("zh", "en"):
            raise ValueError('language is "zh" or "en"')
        self.url, self.key, self.language, self.timeout, self.retries = url.rstrip("/"), key, language, timeout, retries
        self._client = (client_id, client_secret, scope) if client_id else None
        self._agent = f"{user_agent} millrace-python/{__version__}".strip()
        self._connections = _Connections(self.url, ca_file)
        self._token_lock = threading.Lock()
        self._token, self._token_end = "", 0.0

    @classmethod
    def from_environment(cls, **more: Any) -> Client:
        """Where and as whom MILLRACE_URL and MILLRACE_KEY (or MILLRACE_KEY_FILE) say."""
        key, file = os.environ.get("MILLRACE_KEY"), os.environ.get("MILLRACE_KEY_FILE")
        if not key and file:
            with open(file, encoding="utf-8") as opened:
                key = opened.read().strip()
        return cls(os.environ.get("MILLRACE_URL", "http://127.0.0.1:8080"), key, **more)

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"  # without its secrets

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are kept. The client can be used again."""
        self._connections.close()

    # --- calls

    def get(self, path: str, known: Optional[Answer] = None, **parameters: Any) -> Answer:
        """The object. With `known`, an answer read before, that very answer if nothing has changed since."""
        headers = {"If-None-Match": _if_match(known)} if known is not None and known.etag else {}
        answer = self.call("GET", _query(path, parameters), headers=headers)
        return known if known is not None and answer.status == 304 else answer

    def post(self, path: str, body: Any = None, idempotency_key: Optional[str] = None, **parameters: Any) -> Answer:
        return self.call("POST", _query(path, parameters), {} if body is None else body, idempotency_key)

    def put(self, path: str, body: Any, if_match: Union[str, Answer], idempotency_key: Optional[str] = None) -> Answer:
        """Replaces the object if it still has the version `if_match`: an ETag, the answer that was read, or "*"."""
        return self.call("PUT", path, body, idempotency_key, {"If-Match": _if_match(if_match)})

    def patch(self, path: str, changes: Any, if_match: Union[str, Answer], idempotency_key: Optional[str] = None) -> Answer:
        """Changes the members that `changes` has; None removes one (RFC 7396)."""
        headers = {"If-Match": _if_match(if_match), "Content-Type": "application/merge-patch+json"}
        return self.call("PATCH", path, changes, idempotency_key, headers)

    def delete(self, path: str, if_match: Union[str, Answer] = "*", idempotency_key: Optional[str] = None) -> Answer:
        return self.call("DELETE", path, None, idempotency_key, {"If-Match": _if_match(if_match)})

    def modify(self, path: str, change: Callable[[Any], Any], tries: int = 5) -> Answer:
        """Reads the object, lets `change` alter it (in place, or by what it returns) and patches the difference. When
        someone else was faster, it begins again from the new version."""
        for left in range(tries, 0, -1):
            read = self.get(path)
            wanted = copy.deepcopy(read.body)
            returned = change(wanted)
            difference = merge_diff(read.body, wanted if returned is None else returned)
            if difference == {}:
                return read
            try:
                return self.patch(path, difference, read)
            except PreconditionFailed as problem:
                if problem.status != 412 or left == 1:
                    raise
        raise ValueError("tries must be positive")

    def pages(self, path: str, **parameters: Any) -> Iterator[Answer]:
        """The pages of a list, one after the other."""
        while True:
            page = self.get(path, **parameters)
            yield page
            parameters["page_token"] = page.body.get("next_page_token")
            if not parameters["page_token"]:
                return

    def items(self, path: str, **parameters: Any) -> Iterator[Any]:
        """The objects of a list, over all its pages."""
        for page in self.pages(path, **parameters):
            yield from page.body["data"]

    def call(self, method: str, path: str, body: Any = None, idempotency_key: Optional[str] = None,
             headers: Optional[Mapping[str, Optional[str]]] = None, timeout: Optional[float] = None) -> Answer:
        """The answer of a call that succeeds. Raises Problem, Unreachable."""
        answer = self.send(method, path, body, idempotency_key, headers, timeout)
        if answer.status >= 300 and answer.status != 304:
            raise Problem.of(answer)
        return answer

    def send(self, method: str, path: str, body: Any = None, idempotency_key: Optional[str] = None,
             headers: Optional[Mapping[str, Optional[str]]] = None, timeout: Optional[float] = None) -> Answer:
        """The answer, whatever its status. `body`: JSON data, or bytes as they are; a header of None is left out.
        Raises Unreachable."""
        out, data = self._headers(method, body, idempotency_key, headers)
        repeatable = method in SAFE_METHODS or "Idempotency-Key" in out
        renewed = False
        for tried in range(self.retries + 1):
            last = tried == self.retries or not repeatable
            answer, retry_after = None, None
            token = self._authorize(out, headers)
            try:
                answer = self._once(method, path, data, out, timeout or self.timeout, fresh=not repeatable)
                if answer.status == 401 and token and not renewed and repeatable:
                    renewed = True  # the token may have been revoked before its time
                    self._forget(token)
                    self._authorize(out, headers)
                    answer = self._once(method, path, data, out, timeout or self.timeout, fresh=False)
            except Unreachable:
                if last:
                    raise
            if answer is not None:
                if last or not self._come_again(answer):
                    return answer
                retry_after = _retry_after(answer.headers.get("retry-after", ""))
                if retry_after is not None and retry_after > LONGEST_RETRY_AFTER_SECONDS:
                    return answer
            self._pause(tried, retry_after)
        raise AssertionError("the last attempt answers or raises")

    @staticmethod
    def _come_again(answer: Answer) -> bool:
        in_progress = isinstance(answer.body, dict) and answer.body.get("code") == "IDEMPOTENCY_IN_PROGRESS"
        return answer.status in RETRIED_STATUSES or (answer.status == 409 and in_progress)

    @staticmethod
    def _pause(tried: int, retry_after: Optional[float]) -> None:
        """Full jitter, never before the server wants to be asked again."""
        jitter = random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**tried))
        time.sleep((retry_after or 0.0) + jitter)

    def _headers(self, method: str, body: Any, idempotency_key: Optional[str],
                 headers: Optional[Mapping[str, Optional[str]]]) -> tuple[dict, Optional[bytes]]:
        out: dict = {"Accept-Language": "zh-CN" if self.language == "zh" else "en", "User-Agent": self._agent}
        if method not in SAFE_METHODS:
            out["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        if body is not None:
            out["Content-Type"] = "application/json"
        for name, value in (headers or {}).items():
            if value is None:
                out.pop(name, None)
            else:
                out[name] = value
        return out, data

    def _once(self, method: str, path: str, data: Optional[bytes], headers: Mapping[str, str], timeout: float,
              fresh: bool) -> Answer:
        """One attempt. Raises Unreachable."""
        call, connection = f"{method} {path}", None
        try:
            connection = self._connections.open(timeout, fresh)
            connection.request(method, self._connections.prefix + path, data, dict(headers))
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX + 1)
            if len(raw) > ANSWER_BYTES_MAX:
                raise Unreachable(f"{call}: the answer is longer than {ANSWER_BYTES_MAX} bytes")
            if response.length:  # read() with a length does not tell that the body was cut short
                raise http.client.IncompleteRead(raw, response.length)
            answer = Answer(call, response.status, {k.lower(): v for k, v in response.getheaders()}, raw)
            if not response.will_close:
                self._connections.keep(connection)
                connection = None
            return answer
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(f"{call}: {e!r}") from e
        finally:
            if connection is not None:
                connection.close()

    # --- tokens

    def _authorize(self, out: dict, given: Optional[Mapping[str, Optional[str]]]) -> str:
        """Sets Authorization unless the caller did; the access token if one is used."""
        if given and any(name.lower() == "authorization" for name in given):
            return ""
        credential = self.access_token() if self._client else self.key
        if credential:
            out["Authorization"] = f"Bearer {credential}"
        return credential if self._client and credential else ""

    def access_token(self) -> str:
        """A token that is valid for a while yet; fetched once for all threads. Raises Problem, Unreachable."""
        if not self._client:
            raise ValueError("this client has no client_id")
        with self._token_lock:
            if self._token and time.monotonic() < self._token_end:
                return self._token
            id, secret, scope = self._client
            form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
            pair = f"{urllib.parse.quote_plus(id)}:{urllib.parse.quote_plus(secret)}".encode()
            headers = {"Authorization": "Basic " + base64.b64encode(pair).decode(),
                       "Content-Type": "application/x-www-form-urlencoded", "User-Agent": self._agent,
                       "Accept-Language": "zh-CN" if self.language == "zh" else "en"}
            answer = self._fetch_token(urllib.parse.urlencode(form).encode(), headers)
            lifetime = float(answer.body.get("expires_in", 3600))
            self._token = answer.body["access_token"]
            self._token_end = time.monotonic() + lifetime - min(60.0, lifetime / 10)
            return self._token

    def _fetch_token(self, form: bytes, headers: Mapping[str, str]) -> Answer:
        for tried in range(self.retries + 1):  # asking for a token twice does no harm
            try:
                answer = self._once("POST", "/oauth2/token", form, headers, self.timeout, fresh=False)
            except Unreachable:
                if tried == self.retries:
                    raise
                answer = None
            if answer is not None and answer.status == 200 and isinstance(answer.body, dict) and answer.body.get("access_token"):
                return answer
            if answer is not None and (tried == self.retries or answer.status not in RETRIED_STATUSES):
                raise Problem.of(answer)
            self._pause(tried, _retry_after(answer.headers.get("retry-after", "")) if answer else None)
        raise AssertionError("the last attempt answers or raises")

    def _forget(self, token: str) -> None:
        with self._token_lock:
            if self._token == token:
                self._token = ""

    # --- events

    def events(self, types: Iterable[str] = (), last_event_id: Optional[str] = None, path: str = "/v1/stream",
               **parameters: Any) -> Iterator[Event]:
        """The organization's events as they happen, for ever. After a drop it goes on behind the last one that was
        seen; `last_event_id` does so from the start. Raises Problem when it may not be asked again."""
        place, wait, failures = last_event_id or "", 3.0, 0
        target = _query(path, {"types": list(types), **parameters})
        renewed = ""  # the token after which a refusal was met once
        while True:
            token, connection = "", None
            try:
                headers = {"Accept": "text/event-stream", "Accept-Language": "zh-CN" if self.language == "zh" else "en",
                           "Cache-Control": "no-store", "User-Agent": self._agent}
                token = self._authorize(headers, None)
                if place:
                    headers["Last-Event-ID"] = place
                connection = self._connections.open(self.timeout, fresh=True)
                connection.request("GET", self._connections.prefix + target, None, headers)
                wire = connection.sock
                response = connection.getresponse()
                if response.status != 200:
                    raise Problem.of(Answer(f"GET {target}", response.status, {k.lower(): v for k, v in response.getheaders()},
                                            response.read(ANSWER_BYTES_MAX)))
                wire.silence = STREAM_SILENCE_SECONDS
                for kind, value in _frames(response):
                    failures = 0
                    if kind == "retry":
                        wait = value
                    elif kind == "id":
                        place = value
                    else:
                        yield Event(place, value[0], value[1])
                raise Unreachable("the stream ended")
            except Problem as problem:
                if problem.status == 401 and token and renewed != token:
                    self._forget(token)
                    renewed = token
                elif problem.status not in RETRIED_STATUSES:
                    raise
                pause = problem.retry_after or 0.0
            except (OSError, http.client.HTTPException, Unreachable):
                pause = 0.0
            finally:
                if connection is not None:
                    connection.close()
            time.sleep(pause + random.uniform(0.5, 1.0) * min(30.0, wait * 2**min(failures, 6)))
            failures += 1


def _frames(response: Any) -> Iterator[tuple]:
    """The event stream's parts: ("retry", seconds), ("id", text), ("event", (type, data))."""
    place, kind, data, first = None, "", [], True
    while True:
        line = response.readline(STREAM_LINE_BYTES_MAX)
        if not line.endswith(b"\n"):  # the end in the midst of an event, which is then none
            if len(line) >= STREAM_LINE_BYTES_MAX:
                raise Unreachable("a line of the stream is too long")
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if first:
            text, first = text[1:] if text.startswith("\ufeff") else text, False
        if not text:
            if place is not None:
                yield "id", place
            if data:
                joined = "\n".join(data)
                try:
                    value = json.loads(joined)
                except ValueError:
                    value = joined
                yield "event", (kind or "message", value)
            place, kind, data = None, "", []
            continue
        name, _, value = text.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            place = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 9:
            yield "retry", int(value) / 1000


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` with a merge patch applied (RFC 7396); neither is altered."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out


def merge_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict:
    """The merge patch that makes `before` into `after`. A member of `after` that is None counts as absent."""
    out: dict = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = merge_diff(old, new)
            if inner:
                out[name] = inner
        elif old != new:
            out[name] = copy.deepcopy(new)
    return out


# --- webhooks

def sign_webhook(secret: str, id: str, timestamp: Union[int, str], body: Union[bytes, str]) -> str:
    """The signature of a Standard Webhooks message: "v1,<base64>". `secret`: whsec_ and base64, or base64 alone."""
    text = secret[len("whsec_"):] if secret.startswith("whsec_") else secret
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as e:
        raise WebhookError("the secret is not whsec_ and base64") from e
    if not key:
        raise WebhookError("the secret is empty")
    raw = body.encode() if isinstance(body, str) else body
    signed = hmac.new(key, f"{id}.{timestamp}.".encode() + raw, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def verify_webhook(secret: Union[str, Iterable[str]], headers: Mapping[str, str], body: Union[bytes, str],
                   tolerance: float = WEBHOOK_TOLERANCE_SECONDS, now: Optional[float] = None) -> Any:
    """The event of a webhook that is genuine and fresh; raises WebhookError for any other. `body`: the bytes as they
    came. `secret`: one, or several while they are rotated. Remember the header webhook-id: a repetition carries the same."""
    named = {name.lower(): value for name, value in headers.items()}
    id, sent, signatures = (named.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not id or not sent or not signatures:
        raise WebhookError("webhook-id, webhook-timestamp or webhook-signature is missing")
    if not (sent.isascii() and sent.isdigit() and len(sent) <= 12):
        raise WebhookError("webhook-timestamp is no number")
    age = (time.time() if now is None else now) - int(sent)
    if abs(age) > tolerance:
        raise WebhookError("the message is too old" if age > 0 else "the message is from the future")
    genuine = False
    for one in [secret] if isinstance(secret, str) else list(secret):
        wanted = sign_webhook(one, id, sent, body).encode()
        for given in signatures.split():
            genuine |= hmac.compare_digest(wanted, given.encode("utf-8", "replace"))
    if not genuine:
        raise WebhookError("no signature fits")
    try:
        return json.loads(body)
    except ValueError as e:
        raise WebhookError("the body is not JSON") from e
