# SPDX-License-Identifier: Apache-2.0
"""The client against published vectors, and against a server that misbehaves in each way a network and a platform can."""
import base64
import concurrent.futures
import contextlib
import datetime
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import millrace  # noqa: E402
from millrace import (Client, Conflict, Event, NotFound, PreconditionFailed, Problem, RateLimited, ServerError,  # noqa: E402
                      Unauthenticated, Unreachable, WebhookError, merge_diff, merge_patch, sign_webhook, verify_webhook)


class Request:
    def __init__(self, connection, method, path, headers, body):
        self.connection, self.method, self.path, self.headers, self.body = connection, method, path, headers, body


def answer(status=200, body=None, **headers):
    """The bytes of an HTTP answer."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def problem(status, code, **headers):
    return answer(status, {"code": code, "detail": f"about {code}", "status": status}, **headers)


class Server:
    """Answers each request by the next of `script`: bytes, or a function of (request, socket) that returns bytes, or None
    to close. The last one is used again and again."""

    def __init__(self, *script, tls=None):
        self.script, self.requests, self.connections = list(script), [], 0
        self.lock, self.tls = threading.Lock(), tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # close alone would not wake accept
        self.listener.close()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock, self.connections), daemon=True).start()

    def serve(self, sock, number):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as stream:
                while self.one(sock, stream, number):
                    pass
        except OSError:
            pass

    def one(self, sock, stream, number):
        first = stream.readline().decode().split()
        if not first:
            return False
        headers = {}
        while line := stream.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Request(number, first[0], first[1], headers, body)
        with self.lock:
            self.requests.append(request)
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        said = step(request, sock) if callable(step) else step
        if said:
            sock.sendall(said)
        return said is not None


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Pauses are noted, not slept; jitter is its greatest."""
    slept = []
    real = time.sleep
    monkeypatch.setattr(millrace.time, "sleep", lambda seconds: (slept.append(seconds), real(min(seconds, 0.01))))
    monkeypatch.setattr(millrace.random, "uniform", lambda low, high: high)
    return slept


def hang_up(request, sock):
    return None


# --- calls

def test_answers_and_headers():
    with Server(answer(201, {"id": "x"}, ETag='"7"', Request_Id="req_1", Idempotent_Replayed="true")) as server:
        client = Client(server.url + "/", "sk_test_1", language="zh", user_agent="erp/2")
        made = client.post("/v1/things", {"name": "铣床"}, order_by=None, dry=True, states=["A", "B"])
        assert (made["id"], made.etag, made.replayed, made.request_id, made.status) == ("x", "7", True, "req_1", 201)
        sent = server.requests[0]
        assert sent.path == "/v1/things?dry=true&states=A&states=B"
        assert sent.headers["authorization"] == "Bearer sk_test_1" and sent.headers["accept-language"] == "zh-CN"
        assert sent.headers["user-agent"].startswith("erp/2 millrace-python/") and len(sent.headers["idempotency-key"]) == 36
        assert json.loads(sent.body) == {"name": "铣床"} and sent.headers["content-type"] == "application/json"
        assert "sk_test_1" not in repr(client)
        client.get("/v1/things", since=datetime.datetime(2026, 1, 2, 11, tzinfo=datetime.timezone(datetime.timedelta(hours=8))))
        assert "since=2026-01-02T03%3A00%3A00.000000Z" in server.requests[1].path
        assert "idempotency-key" not in server.requests[1].headers
        with pytest.raises(ValueError):
            client.get("/v1/things", since=datetime.datetime(2026, 1, 2))


def test_connections_are_kept_and_shared_by_threads():
    with Server(answer(200, {"ok": True})) as server, Client(server.url) as client:
        for _ in range(5):
            client.get("/a")
        assert server.connections == 1
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda n: client.get(f"/{n}")["ok"], range(200)))
        assert len(server.requests) == 205 and server.connections <= 9


def test_a_kept_connection_that_the_server_closed_is_not_used():
    def once(request, sock):
        sock.sendall(answer(200, {}))
        return None

    with Server(once) as server:
        client = Client(server.url, retries=0)
        for _ in range(3):
            client.post("/a")
            time.sleep(0.05)
        assert server.connections == 3


@pytest.mark.parametrize("status, kind", [(400, "BadRequest"), (401, "Unauthenticated"), (402, "PaymentRequired"), (403, "Forbidden"),
                                          (404, "NotFound"), (409, "Conflict"), (412, "PreconditionFailed"), (422, "Unprocessable"),
                                          (428, "PreconditionFailed"), (429, "RateLimited"), (500, "ServerError"), (302, "Problem"),
                                          (418, "Problem")])
def test_problems_are_typed(status, kind):
    body = {"code": "SOME_CODE", "title": "t", "detail": "d", "status": status, "request_id": "req_9", "retryable": True,
            "errors": [{"pointer": "#/name", "detail": "too long"}]}
    with Server(answer(status, body, Retry_After="3", Request_Id="req_8")) as server:
        with pytest.raises(Problem) as caught:
            Client(server.url, retries=0).post("/v1/things")
        refused = caught.value
        assert type(refused) is getattr(millrace, kind)
        assert (refused.code, refused.status, refused.detail, refused.request_id) == ("SOME_CODE", status, "d", "req_9")
        assert refused.retryable is True and refused.retry_after == 3 and refused.errors[0]["pointer"] == "#/name"
        for said in ("POST /v1/things", "SOME_CODE", "req_9", "#/name", "too long"):
            assert said in str(refused)


def test_a_refusal_that_is_no_problem_document():
    with Server(answer(500, b"<html>oops")) as server:
        with pytest.raises(ServerError) as caught:
            Client(server.url, retries=0).get("/")
        assert caught.value.code == "" and "<html>oops" in str(caught.value) and caught.value.retryable is False


@pytest.mark.parametrize("trouble", [hang_up, b"", problem(429, "RATE_LIMITED"), problem(503, "UNAVAILABLE"),
                                     problem(409, "IDEMPOTENCY_IN_PROGRESS"), answer(502, b"<html>"), b"HTTP/1.1 2",
                                     b"nonsense\r\n\r\n", answer(200, {"id": 1})[:-3]])
def test_trouble_is_asked_again_with_the_same_key(trouble):
    """Nothing, half an answer, nonsense, or a refusal that says: later."""
    def troubled(request, sock):
        if callable(trouble):
            return trouble(request, sock)
        sock.sendall(trouble)
        return None

    with Server(troubled, troubled, answer(201, {"id": "x"})) as server:
        assert Client(server.url).post("/v1/things")["id"] == "x"
        keys = {request.headers["idempotency-key"] for request in server.requests}
        assert len(server.requests) == 3 and len(keys) == 1


@pytest.mark.parametrize("refused", [problem(409, "BOOKING_CONFLICT"), problem(400, "INVALID"), problem(500, "INTERNAL"),
                                     problem(404, "NOT_FOUND")])
def test_definite_refusals_are_not_asked_again(refused):
    with Server(refused) as server:
        with pytest.raises(Problem):
            Client(server.url).post("/v1/things")
        assert len(server.requests) == 1


def test_a_call_without_a_key_is_never_sent_twice():
    for trouble in (hang_up, problem(503, "UNAVAILABLE")):
        with Server(trouble) as server:
            with pytest.raises((Unreachable, ServerError)):
                Client(server.url).call("POST", "/v1/things", {}, headers={"Idempotency-Key": None})
            assert len(server.requests) == 1 and "idempotency-key" not in server.requests[0].headers


def test_pauses_grow_and_honour_retry_after(no_waiting):
    with Server(hang_up, hang_up, hang_up, problem(503, "UNAVAILABLE", Retry_After="7"), answer(200, {})) as server:
        Client(server.url).get("/")
        assert no_waiting == [0.25, 0.5, 1.0, 7 + 2.0]
    with Server(problem(429, "RATE_LIMITED", Retry_After="3600")) as server:  # too long to wait in silence
        with pytest.raises(RateLimited) as caught:
            Client(server.url).get("/")
        assert len(server.requests) == 1 and caught.value.retry_after == 3600


def test_attempts_end():
    with Server(hang_up) as server:
        with pytest.raises(Unreachable):
            Client(server.url, retries=2).get("/")
        assert len(server.requests) == 3
    with Server(problem(503, "UNAVAILABLE")) as server:
        with pytest.raises(ServerError):
            Client(server.url, retries=2).get("/")
        assert len(server.requests) == 3
    with pytest.raises(Unreachable) as caught:  # nobody listens any more
        Client(server.url, retries=1).get("/")
    assert "refused" in str(caught.value)


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_timeout_bounds_the_attempt_not_the_byte(begin):
    """A server that sends a byte now and then, in the header or in the body."""
    def drip(request, sock):
        sock.sendall(begin)
        for _ in range(100):
            sock.sendall(b"x")
            threading.Event().wait(0.05)

    with Server(drip) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            Client(server.url, timeout=0.4, retries=0).get("/")
        assert time.monotonic() - began < 3


def test_an_answer_without_end_is_not_taken(monkeypatch):
    monkeypatch.setattr(millrace, "ANSWER_BYTES_MAX", 1000)
    with Server(answer(200, b"x" * 1001)) as server:
        with pytest.raises(Unreachable, match="longer"):
            Client(server.url, retries=0).get("/")


# --- objects and lists

def test_versions_and_merge_patch():
    with Server(answer(200, {"a": 1}, ETag='"3"'), answer(304), answer(200, {})) as server:
        client = Client(server.url)
        read = client.get("/v1/things/1")
        assert client.get("/v1/things/1", known=read) is read
        assert server.requests[1].headers["if-none-match"] == '"3"'
        client.put("/v1/things/1", {"a": 2}, read)
        client.patch("/v1/things/1", {"b": None}, "4")
        client.delete("/v1/things/1")
        sent = server.requests[2:]
        assert [one.headers["if-match"] for one in sent] == ['"3"', '"4"', "*"]
        assert sent[1].headers["content-type"] == "application/merge-patch+json" and sent[1].body == b'{"b": null}'
        assert all("idempotency-key" in one.headers for one in sent)


def test_modify_begins_again_when_someone_was_faster():
    with Server(answer(200, {"n": 1, "keep": "k"}, ETag='"1"'), problem(412, "ETAG_MISMATCH"),
                answer(200, {"n": 5, "keep": "k"}, ETag='"2"'), answer(200, {"n": 6})) as server:
        def add(thing):
            thing["n"] += 1
        assert Client(server.url).modify("/v1/things/1", add)["n"] == 6
        assert [json.loads(r.body) for r in server.requests if r.method == "PATCH"] == [{"n": 2}, {"n": 6}]
        assert server.requests[3].headers["if-match"] == '"2"'
    with Server(answer(200, {"n": 1}, ETag='"1"')) as server:
        Client(server.url).modify("/v1/things/1", lambda thing: None)
        assert [r.method for r in server.requests] == ["GET"]
    with Server(answer(200, {"n": 1}, ETag='"1"'), problem(412, "ETAG_MISMATCH"), answer(200, {"n": 1}, ETag='"1"'),
                problem(412, "ETAG_MISMATCH")) as server:
        with pytest.raises(PreconditionFailed):
            Client(server.url).modify("/v1/things/1", lambda thing: {"n": 9}, tries=2)


def test_pages():
    with Server(answer(200, {"data": [1, 2], "next_page_token": "a b"}), answer(200, {"data": [3]})) as server:
        assert list(Client(server.url).items("/v1/things", state="OPEN")) == [1, 2, 3]
        assert [r.path for r in server.requests] == ["/v1/things?state=OPEN", "/v1/things?state=OPEN&page_token=a+b"]


def merge_vectors():
    """RFC 7396, appendix A."""
    return [({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]),
            ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}})]


@pytest.mark.parametrize("target, patch, result", merge_vectors())
def test_merge_patch_vectors(target, patch, result):
    before = json.dumps(target)
    assert merge_patch(target, patch) == result and json.dumps(target) == before


@pytest.mark.parametrize("before, after", [
    ({}, {}), ({"a": 1}, {"a": 1}), ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "d": 4}, "e": [1]}), ({"a": {"b": 1}}, {"a": 2}),
    ({"a": 2}, {"a": {"b": 1}}), ({"a": [1, 2]}, {"a": [2]})])
def test_the_difference_makes_the_one_into_the_other(before, after):
    assert merge_patch(before, merge_diff(before, after)) == after
    assert (merge_diff(before, after) == {}) == (before == after)


# --- tokens

def token(text, seconds=3600):
    return answer(200, {"access_token": text, "token_type": "Bearer", "expires_in": seconds})


def test_tokens_are_fetched_once_and_renewed_in_time():
    with Server(token("at_1"), answer(200, {}), answer(200, {}), answer(200, {})) as server:
        client = Client(server.url, client_id="key:1", client_secret="s/ecret", scope="bookings:read")
        for _ in range(3):
            client.get("/v1/me")
        first = server.requests[0]
        assert first.path == "/oauth2/token" and first.body == b"grant_type=client_credentials&scope=bookings%3Aread"
        assert base64.b64decode(first.headers["authorization"].split()[1]) == b"key%3A1:s%2Fecret"
        assert [r.headers["authorization"] for r in server.requests[1:]] == ["Bearer at_1"] * 3
        assert "s/ecret" not in repr(client)
    with Server(token("at_1", 0), answer(200, {}), token("at_2"), answer(200, {})) as server:  # over at once
        client = Client(server.url, client_id="key", client_secret="secret")
        client.get("/v1/me"), client.get("/v1/me")
        assert server.requests[3].headers["authorization"] == "Bearer at_2"


def test_a_token_that_was_revoked_is_renewed_once():
    refused = problem(401, "UNAUTHENTICATED")
    with Server(token("at_1"), refused, token("at_2"), answer(200, {"ok": 1})) as server:
        assert Client(server.url, client_id="key", client_secret="secret").post("/v1/things")["ok"] == 1
        posts = [r for r in server.requests if r.path == "/v1/things"]
        assert len({r.headers["idempotency-key"] for r in posts}) == 1
    with Server(token("at_1"), refused, token("at_2"), refused) as server:
        with pytest.raises(Unauthenticated):
            Client(server.url, client_id="key", client_secret="secret").get("/v1/me")
        assert len(server.requests) == 4


def test_a_refused_client_and_a_token_route_in_trouble():
    with Server(answer(401, {"error": "invalid_client", "error_description": "unknown key"})) as server:
        with pytest.raises(Unauthenticated) as caught:
            Client(server.url, client_id="key", client_secret="wrong").get("/v1/me")
        assert caught.value.code == "invalid_client" and caught.value.detail == "unknown key" and len(server.requests) == 1
    with Server(hang_up, problem(503, "UNAVAILABLE"), token("at_1"), answer(200, {})) as server:
        Client(server.url, client_id="key", client_secret="secret").get("/v1/me")


def test_many_threads_fetch_one_token():
    def slow(request, sock):
        if request.path == "/oauth2/token":
            threading.Event().wait(0.05)
            return token("at_1")
        return answer(200, {})

    with Server(slow) as server:
        client = Client(server.url, client_id="key", client_secret="secret")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: client.get("/v1/me"), range(40)))
        assert sum(r.path == "/oauth2/token" for r in server.requests) == 1


# --- events

def stream(*pieces, close=True):
    def run(request, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        return None

    return run


def test_events_come_whole_and_resume_behind_the_last_one(no_waiting):
    first = stream(b"\xef\xbb\xbfretry: 40\nid: 17\n\n", b": ping\n\n", b"id: evt_1\nevent: a.made\nda", b'ta: {"n":\ndata: 1}\n',
                   b"\n", b"id: evt_2\r\nevent: a.done\r\ndata: {}\r\n\r\nid: evt_3\nevent: cut\ndata: {}\n")
    second = stream(b"id: evt_3\nevent: reset\ndata: {}\n\nid:evt_4\ndata:plain\n\n")
    with Server(first, hang_up, problem(503, "UNAVAILABLE", Retry_After="5"), second) as server:
        seen = Client(server.url, "sk").events(types=["a", "b"])
        assert [next(seen) for _ in range(4)] == [
            Event("evt_1", "a.made", {"n": 1}), Event("evt_2", "a.done", {}), Event("evt_3", "reset", {}), Event("evt_4", "message", "plain")]
        assert [r.headers.get("last-event-id") for r in server.requests] == [None, "evt_2", "evt_2", "evt_2"]
        assert all(r.path == "/v1/stream?types=a&types=b" and r.headers["authorization"] == "Bearer sk" for r in server.requests)
        assert no_waiting == [0.04, 0.08, 5 + 0.16]
        seen.close()


def test_a_stream_cut_before_its_first_event_knows_its_place():
    with Server(stream(b"id: 99\n\n"), stream(b"id: evt_1\ndata: 1\n\n")) as server:
        assert next(Client(server.url).events()).id == "evt_1"
        assert server.requests[1].headers["last-event-id"] == "99"
        assert next(Client(server.url).events(last_event_id="evt_1")).id == "evt_1"
        assert server.requests[2].headers["last-event-id"] == "evt_1"


def test_a_stream_ends_when_it_may_not_be_asked_again():
    with Server(stream(b"id: evt_1\ndata: 1\n\n"), problem(401, "UNAUTHENTICATED")) as server:
        seen = Client(server.url, "sk").events()
        next(seen)
        with pytest.raises(Unauthenticated):
            next(seen)
    with Server(token("at_1"), problem(401, "UNAUTHENTICATED"), token("at_2"), stream(b"data: 1\n\n")) as server:
        assert next(Client(server.url, client_id="key", client_secret="secret").events()).data == 1


def test_a_silent_stream_is_dropped(monkeypatch):
    monkeypatch.setattr(millrace, "STREAM_SILENCE_SECONDS", 0.2)

    def silent(request, sock):
        stream()(request, sock)
        threading.Event().wait(5)

    with Server(silent, stream(b"data: 2\n\n")) as server:
        assert next(Client(server.url).events()).data == 2


# --- TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    return folder


def test_https_is_verified(certificate):
    context = millrace.ssl.SSLContext(millrace.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with Server(answer(200, {"ok": True}), tls=context) as server:
        client = Client(server.url, ca_file=str(certificate / "cert.pem"))
        assert client.get("/a")["ok"] and client.get("/b")["ok"] and server.connections == 1
        for url, file in ((server.url, None), (server.url.replace("127.0.0.1", "localhost"), str(certificate / "cert.pem"))):
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                Client(url, ca_file=file, retries=0).get("/")


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://", "http://u@h", "http://h/?q=1"])
def test_no_address(url):
    with pytest.raises(ValueError):
        Client(url)


@pytest.mark.parametrize("credential", [{"key": "k", "client_id": "c", "client_secret": "s"}, {"client_id": "c"}, {"language": "fr"}])
def test_bad_settings(credential):
    with pytest.raises(ValueError):
        Client("http://h", **credential)


def test_from_environment(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("sk_file\n")
    monkeypatch.setenv("MILLRACE_URL", "http://h:1")
    monkeypatch.delenv("MILLRACE_KEY", raising=False)
    monkeypatch.setenv("MILLRACE_KEY_FILE", str(tmp_path / "key"))
    assert (Client.from_environment().url, Client.from_environment().key) == ("http://h:1", "sk_file")


# --- webhooks

# The vector that the Standard Webhooks libraries share.
SECRET, ID, SENT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY, SIGNATURE = b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + base64.b64encode(b"another secret of some length").decode()


def headers(signature=SIGNATURE, id=ID, sent=str(SENT)):
    return {"Webhook-Id": id, "webhook-timestamp": sent, "Webhook-Signature": signature}


def test_the_published_vector():
    assert sign_webhook(SECRET, ID, SENT, BODY) == sign_webhook(SECRET[6:], ID, SENT, BODY.decode()) == SIGNATURE
    assert verify_webhook(SECRET, headers(), BODY, now=SENT + 299) == {"test": 2432232314}


def test_rotation():
    """Two signatures while the sender rotates, two secrets while the receiver does."""
    both = f"v1,{base64.b64encode(bytes(32)).decode()} v1a,other {SIGNATURE}"
    assert verify_webhook(SECRET, headers(both), BODY, now=SENT)
    assert verify_webhook([OTHER, SECRET], headers(), BODY, now=SENT)


@pytest.mark.parametrize("given, body, now", [
    (headers(), BODY, SENT + 301), (headers(), BODY, SENT - 301), (headers(), BODY.replace(b"4", b"5"), SENT),
    (headers(id="msg_other"), BODY, SENT), (headers(sent=str(SENT + 1)), BODY, SENT), (headers(signature=""), BODY, SENT),
    (headers(signature=SIGNATURE[3:]), BODY, SENT), (headers(signature="v1,"), BODY, SENT), (headers(signature="v2," + SIGNATURE[3:]), BODY, SENT),
    (headers(sent=f" {SENT}"), BODY, SENT), (headers(sent="١٢٣"), BODY, SENT), (headers(sent="-1"), BODY, SENT), ({}, BODY, SENT),
    (headers(signature="v1,\udcff"), BODY, SENT)])
def test_what_must_not_be_trusted(given, body, now):
    with pytest.raises(WebhookError):
        verify_webhook(SECRET, given, body, now=now)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whsec_a", []])
def test_bad_secrets(secret):
    with pytest.raises(WebhookError):
        verify_webhook(secret, headers(), BODY, now=SENT)


def test_a_genuine_message_that_is_no_json():
    with pytest.raises(WebhookError, match="JSON"):
        verify_webhook(SECRET, headers(sign_webhook(SECRET, ID, SENT, b"x")), b"x", now=SENT)


def test_conflict_and_not_found_are_problems():
    assert issubclass(Conflict, Problem) and issubclass(NotFound, Problem) and issubclass(Problem, millrace.MillraceError)
