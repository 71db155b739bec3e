# SPDX-License-Identifier: Apache-2.0
"""GET /v1/stream: each event once and in order, over drops, kills and revoked keys; idle ones cost next to nothing."""
import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse


def draft(world, owner):
    """One fact of the organization's own: the id of a listing, drafted."""
    if not hasattr(owner, "resource"):
        owner.resource = world.resource(owner)["id"]
    return owner.client.post_until_known("/v1/listings", world.listing_body(owner.resource))["id"]


class Stream:
    """An open stream, read line by line: fields of its frames."""

    def __init__(self, url, key, last="", query="", timeout=30):
        at = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = last
        self.connection.request("GET", f"/v1/stream{query}", headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.last = last

    def frames(self):
        """(name, data) of each frame, with ("", text) for comments; ends with the stream."""
        name, data = "", []
        for raw in self.answer:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                yield "", line
            elif not line:
                if data:
                    yield name, json.loads("\n".join(data))
                name, data = "", []
            else:
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data.append(value)

    def close(self):
        self.connection.close()


def test_a_stream_tells_what_the_list_tells(world):
    owner = world.organization("听众")
    stream = Stream(world.platform.instance["url"], owner.secret, query="?topics=listing,booking")
    assert stream.answer.headers["X-Accel-Buffering"] == "no" and stream.answer.headers["Cache-Control"] == "no-store"
    owner.client.post("/v1/sites", {"display_name": "厂房", "place": {"longitude": 120.6, "latitude": 31.3}})
    made = [draft(world, owner) for _ in range(3)]
    heard = []
    for name, data in stream.frames():
        heard.append((name, data))
        if len(heard) == 3:
            break
    stream.close()
    assert [name for name, _ in heard] == [data["type"] for _, data in heard]
    assert [data["subject"] for _, data in heard] == [f"listings/{id}" for id in made]
    assert all(data == owner.client.get(f"/v1/events/{data['id']}").body for _, data in heard)
    # From an event on, by its id.
    again = Stream(world.platform.instance["url"], owner.secret, last=heard[0][1]["id"], query="?types=listing")
    frames = again.frames()
    assert [next(frames)[1]["id"] for _ in range(2)] == [heard[1][1]["id"], heard[2][1]["id"]]
    again.close()


def test_a_place_that_is_not_known_is_said(world):
    owner = world.organization("听众")
    for last in ("evt_01J9ZK3V6M2E8QW4T7Y1N5R0AB", "999999999"):
        stream = Stream(world.platform.instance["url"], owner.secret, last=last)
        assert next(stream.frames())[0] == "reset"
        stream.close()


def test_a_revoked_key_ends_its_stream(world):
    owner = world.organization("听众")
    key = owner.client.post("/v1/api_keys", {"display_name": "第二"}).body
    stream = Stream(world.platform.instance["url"], key["secret"], timeout=12)
    time.sleep(1.5)
    owner.client.call("DELETE", f"/v1/api_keys/{key['id']}", headers={"If-Match": "*"})
    begin = time.monotonic()
    list(stream.frames())  # until the server ends it
    assert time.monotonic() - begin < 6
    assert world.platform.client(key["secret"]).refuse("GET", "/v1/stream").code == "UNAUTHENTICATED"


def test_the_gateway_is_killed_and_the_client_misses_nothing(split_world):
    world = split_world
    owner = world.organization("听众")
    url = world.platform.instance["url"]
    heard, made, done = [], [], threading.Event()

    def listen():
        last = "0"
        while not done.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                stream = Stream(url, owner.secret, last=last, query="?topics=listing", timeout=10)
                for name, data in stream.frames():
                    if data and name:
                        heard.append((name, data))
                    last = stream.last
                    if done.is_set():
                        break
                stream.close()
            time.sleep(0.05)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        for n in range(12):
            made.append(draft(world, owner))
            if n in (3, 7):
                old = world.platform.pid("gateway")
                world.platform.kill("gateway")
                world.platform.wait_restarted("gateway", old)
        end = time.monotonic() + 30
        while len({data["id"] for name, data in heard}) < 12 and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        done.set()
    thread.join()
    subjects = list(dict.fromkeys(data["subject"] for _, data in heard))
    assert [name for name, _ in heard if name == "reset"] == []
    assert subjects == [f"listings/{id}" for id in made]
    seqs = list(dict.fromkeys(int(data["seq"]) for _, data in heard))
    assert seqs == sorted(seqs)


def test_five_hundred_idle_streams_are_cheap(world):
    """They are served by one look a second; the process spends next to nothing on them, and each still hears its event."""
    owner = world.organization("听众")
    at = urllib.parse.urlsplit(world.platform.instance["url"])
    request = (f"GET /v1/stream HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {owner.secret}\r\n\r\n").encode()
    sockets = []
    try:
        for _ in range(500):
            one = socket.create_connection((at.hostname, at.port), timeout=20)
            one.sendall(request)
            sockets.append(one)
        for one in sockets:
            assert b"200 OK" in one.recv(4096)

        def cpu():
            with open(f"/proc/{world.platform.pid('all')}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / 100

        before, begin = cpu(), time.monotonic()
        time.sleep(6)
        used = (cpu() - before) / (time.monotonic() - begin)
        print(f"500 idle streams: {used:.1%} of a core")
        assert used < 0.25
        listing = draft(world, owner)
        for one in sockets:
            text = b""
            while listing.encode() not in text:
                piece = one.recv(65536)
                assert piece
                text += piece
    finally:
        for one in sockets:
            one.close()
