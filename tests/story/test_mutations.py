# SPDX-License-Identifier: Apache-2.0
"""Ten thousand requests that are a little or quite wrong, and after each: no 5xx, and a problem that is whole.

Each request follows from SEED and its number alone, up to the ids and secrets of the run. MILLRACE_ROUNDS=10 goes ten times as far;
MILLRACE_MUTATION=1234 sends that one only, and prints it with its answer."""
import collections
import copy
import gzip
import json
import os
import random
import re
import threading
import time
import urllib.parse

from contract import Contract
from estate import Estate, nobodys
from wire import Drip, Wire, request
from world import HOUR, rfc3339

SEED = 20261201
COUNT = 10_000 * int(os.environ.get("MILLRACE_ROUNDS", "1"))
ONLY = os.environ.get("MILLRACE_MUTATION")
THREADS = 8
FAILURES_SHOWN = 5
# Endless (test_stream.py), and RFC 6749's own refusals (test_access.py).
LEFT_OUT = {"StreamEvents"}
# What would move the time, or end the one that all others need: checked only, or done to an organization that nobody needs.
CHECK_ONLY = {"AdvanceClock"}
LEAK = re.compile(r"SELECT |INSERT INTO|\.cpp\b|std::|pqxx|SQLSTATE|Traceback|/usr/|invalid input syntax|sk_test_")

NUMBERS = [
    "0", "-0", "-1", "1", "127", "255", "32768", "2147483647", "2147483648", "-2147483649", "4294967296", "999999999999999",
    "1000000000000000", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "1" + "0" * 400, "1.5", "1e3", "1E400", "-1e-400", "0.1e1", "01", "+1", "1.", ".5", "0x10", "NaN",
    "-Infinity", "1_000"]
WHOLE = [text for text in NUMBERS if text.lstrip("-").isdigit() and text not in ("-0", "01") and len(text) < 21]
DEGREES = ["180", "-180", "180.0000001", "90", "-90.5", "1e308", "-1e308", "5e-324", "-0.0", "1e999", "0.1", "12345678901234567890"]
TIMES = [
    "0001-01-01T00:00:00Z", "0001-01-02T00:00:00+14:00", "0000-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2027-01-01", "2027-01-01T00:00:00",
    "2027-01-01T25:00:00Z", "2027-01-01T00:00:60Z", "1970-01-01T00:00:00Z", "infinity", "2027-01-01T00:00:00.123456789Z",
    "2027-01-01t00:00:00z", "0001-01-10T00:00:00Z"]
TEXTS = [
    "", " ", "\0", "a\0b", "\t\r\n", "x" * 41, "x" * 2001, "x" * 70_000, "\u202e\u0301" * 40, "\U0001F4A9" * 70, "中" * 700,
    "null", "' OR 1=1 --", "${7*7}{{7*7}}", "%s%n%x", "../../etc/passwd", "<script>alert(1)</script>", "=cmd|' /C calc'!A0",
    "\ufeff", "\ufffe", "a" * 255 + "\n", "key\r\nX-Injected: 1", "\\", "\"", "\u2028", "FORTNIGHT", "kWh", "mm2", "[pH]",
    "JPY", "XXX", "cny", "0", "true", "HELD", "STATE_UNSPECIFIED", "Mars/Olympus", "Etc/GMT+12", "file:///etc/passwd",
    "http://169.254.169.254/", "http://[::1]:80/", "*", "admin", "operator", "*:*", "service"]
HEADERS = {
    "Idempotency-Key": ["", "x", "x" * 255, "x" * 256, "with blank in it", '"quoted-key"', "''''''''", "\\\\\\\\\\\\\\\\",
        "00000000-0000"],
    "If-Match": ["", "*", '"*"', 'W/"1"', '"1", "2"', '"', '"1', "1", '"99999999999999999999"', '"-1"', '"\\"'],
    "If-None-Match": ["", "*", '"1"', 'W/"1"', '"' * 9, '"1", "2", *'],
    "Content-Type": ["", "application/json; charset=utf-8", "application/json;charset=gbk", "text/plain",
        "application/merge-patch+json", "/", ";", "multipart/form-data", "application/x-www-form-urlencoded",
        "APPLICATION/JSON", "application/json, text/xml", "a" * 300],
    "Accept": ["", "*/*", "text/html", "application/json;q=0", ";q=", "application/*;q=9", "*/*;q=0.0001", "a/b/c", ",,,,",
        "application/json" * 90],
    "Accept-Language": ["", "en", "zh-Hant-TW;q=0.1, en;q=nan", "*", "xx" * 200, "en;q=-1", ",;q=1,", "en-" * 50],
    "Accept-Encoding": ["gzip", "gzip;q=0", "br", "*;q=0", "identity;q=0", "gzip" * 200],
    "Authorization": ["", "Bearer", "Bearer x", "Basic eDp5", "Basic \x7f", "Bearer " + "x" * 4000, "bearer a, bearer b",
        "Negotiate ="],
    "traceparent": ["", "00", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "g" * 32 + "-" + "h" * 16 + "-01"],
    "tracestate": ["", "=", "a=b," * 60, "a=" + "x" * 600],
    "Range": ["bytes=0-1", "bytes=-1"],
    "Expect": ["100-continue", "100-CONTINUE", "x"],
    "Connection": ["close", "keep-alive", "Upgrade", ",", "close, close", "a b"],
    "Upgrade": ["h2c", "websocket"],
    "TE": ["trailers"],
    "Transfer-Encoding": ["chunked", "gzip", "identity"],
    "Content-Encoding": ["gzip", "identity", ""],
    "Host": ["", "a/b", "a b", "x" * 300, "[::1]:99"],
    "X-Forwarded-For": ["127.0.0.1"],
    "Cookie": ["a=b"],
    "Origin": ["null"],
    "X_Under": ["1"],
    "Last-Event-ID": ["x"],
    "webhook-id": ["x"],
    "X-Long": ["x" * 7000, "x" * 9000],
}
PATHS = [
    "", "/", "//", "/.", "/..", "%2e%2e/", "%00", "%zz", "%", "%3A", ":", "::", ":verify", ":nothing", "%2F", ";a=b", "\\", "~",
    "'", "*", "{id}", "()", "%F0%9F%92%A9", "%ff", "%C0%AF", "x" * 300, "/x/y/z", "?", "??"]


class Mutator:
    """Makes the request of a number out of the routes and what they may be asked for."""

    def __init__(self, world, contract, estate):
        self.contract, self.estate = contract, estate
        self.host = urllib.parse.urlsplit(world.platform.instance["url"]).netloc
        self.routes = [route for route in contract.routes if route.name not in LEFT_OUT]
        self.bodies = {route.name: estate.valid(route) for route in self.routes if route.schema}
        self.rich = [route for route in self.routes if route.schema and len(self.bodies[route.name]) > 1]
        self.raw = {"CreateImport": estate.firm.client.send("GET", "/v1/import_template?kind=EQUIPMENT").raw, "CreateAttachment": b"a file"}
        # The verbs of the office are for one that nobody else needs.
        self.ids = {**estate.ids, "organizations": world.organization("示例弃子").id}
        self.credits = estate.firm.id
        now = world.now()
        self.windows = [{"start_time": rfc3339(now + (24 * n + 1) * HOUR), "end_time": rfc3339(now + (24 * n + 5) * HOUR)}
                        for n in range(3, 90)]

    def make(self, number):
        """(the request's bytes, what it is in words, its kind)."""
        dice = random.Random(f"{SEED}/{number}")
        kind = dice.choices(["body", "text", "headers", "query", "path", "raw"], [52, 13, 10, 8, 7, 10])[0]
        # Verbs have little to say; what makes and changes things is mutated four times as often.
        route = dice.choice(self.rich if kind in ("body", "text") and dice.random() < 0.8 else self.routes)
        if kind == "raw" and route.name in CHECK_ONLY:
            route = self.contract.route("CreateSite")
        headers = {"Authorization": f"Bearer {self.estate.party(route).key}", "Accept": "application/json"}
        query, target = [], route.at(self.id_for(route, dice))
        body = self.body(route, kind, dice)
        if body is not None:
            headers["Content-Type"] = route.media_type
        if route.writes and not route.public:
            # Now and then the key of a request before it, which is another one.
            headers["Idempotency-Key"] = f"mutation-{SEED}-{number - dice.choice([0] * 49 + [THREADS])}"
            if route.name in CHECK_ONLY or dice.random() < 0.4:
                query.append("validate_only=true")
        if route.needs_tag:
            headers["If-Match"] = dice.choice(["*", "*", '"1"', '"2"'])
        if kind == "query":
            query += [self.parameter(route, dice) for _ in range(dice.randint(1, 3))]
        if kind == "path":
            target = self.path(target, dice)
        if query:
            target += "?" + "&".join(query)
        lines = list(headers.items())
        if kind == "headers":
            for _ in range(dice.randint(1, 2)):
                name = dice.choice(list(HEADERS))
                # Chunks that never come would be waited for.
                value = dice.choice([one for one in HEADERS[name] if one != "chunked" or body is not None])
                if dice.random() < 0.8:
                    lines = [line for line in lines if line[0] != name]
                lines.append((name, value))
        method = route.method
        if kind in ("headers", "path") and dice.random() < 0.15:
            method = dice.choice(["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST", "BREW", "get"] + ["HEAD"] * (body is None))
        data = request(method, target, self.host, lines, body)
        if kind == "raw":
            data = self.garbage(data, dice)
        return data, f"{kind} {route}", kind

    def id_for(self, route, dice):
        id = self.credits if route.path.endswith(("credit", "credit_facts")) else self.ids.get(route.noun, "x")
        return nobodys(id) if dice.random() < 0.1 else id

    # --- bodies

    def body(self, route, kind, dice):
        if route.name in self.raw:
            return self.garbage(self.raw[route.name], dice) if kind != "raw" else self.raw[route.name]
        if not route.schema:
            return None
        tree = copy.deepcopy(self.bodies[route.name])
        if route.name == "CreateBooking":
            tree["window"] = dict(dice.choice(self.windows))
        raws = []
        if kind == "body":
            for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
                tree = self.mutated(tree, route, raws, dice)
        text = json.dumps(tree, ensure_ascii=dice.random() < 0.5)
        for n, raw in enumerate(raws):
            text = text.replace(f'"@{n}@"', raw)
        data = text.encode("utf-8", "surrogatepass")
        return self.broken(data, dice) if kind == "text" else data

    def places(self, node):
        """(holder, key) of every value in the tree."""
        if isinstance(node, (dict, list)):
            for key in (list(node) if isinstance(node, dict) else range(len(node))):
                yield node, key
                yield from self.places(node[key])

    def mutated(self, tree, route, raws, dice):
        found = list(self.places(tree))
        if dice.random() < 0.01 or not isinstance(tree, dict):
            return dice.choice([None, [], {}, [tree], "x", 1, True])
        if not found or dice.random() < 0.05:
            names = [path[-1] for path, _, _ in self.contract.fields(route.schema, 3) if path[-1] != 0]
            names += ["colour", "", "id", "state", "__proto__", "a.b", "a/b", "x" * 300, "\0"]
            tree[dice.choice(names)] = dice.choice([1, "x", {}, [], True, None, dice.choice(TEXTS), dice.choice(TIMES)])
            return tree
        holder, key = dice.choice(found)
        if dice.random() < 0.55:
            holder[key] = self.another(holder[key], raws, dice)
        else:
            self.twisted(holder, key, found, raws, dice)
        return tree

    @staticmethod
    def as_is(text, raws):
        """A place for text that stands in the JSON as it is."""
        raws.append(text)
        return f"@{len(raws) - 1}@"

    def another(self, value, raws, dice):
        """Another value of the same kind: what the contract's types let pass."""
        if value is None or isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.as_is(dice.choice(WHOLE), raws)
        if isinstance(value, float):
            return self.as_is(dice.choice(DEGREES), raws)
        if isinstance(value, list):
            return dice.choice([[], value * 2, value * 51, value[::-1], value * 600])
        if isinstance(value, dict):
            return {name: value[name] for name in value if dice.random() < 0.5}
        if value.isdigit():
            return dice.choice(WHOLE)
        if re.match(r"\d{4}-\d\d-\d\dT", value):
            return dice.choice(TIMES)
        if re.fullmatch(r"[a-z]{2,3}_[0-9A-Z]{26}", value):
            return dice.choice([*self.ids.values(), nobodys(value), value.lower(), value[:-1], value + "0", "bkg_" + "Z" * 26])
        return dice.choice(TEXTS)

    def twisted(self, holder, key, found, raws, dice):
        """Something of another kind, nothing, too much, or what is no JSON for everybody."""
        value, how = holder[key], dice.randrange(10)
        if how == 0:
            del holder[key]
        elif how == 1:
            holder[key] = None
        elif how == 2:
            holder[key] = dice.choice([{}, [], "", 0, 1, -1, True, False, "x", {"x": 1}, [value], [[]], {"amount": "1", "currency": "CNY"}])
        elif how in (3, 4):
            number = dice.choice(NUMBERS)
            holder[key] = self.as_is(number, raws) if dice.random() < 0.6 else number
        elif how == 5:
            holder[key] = dice.choice(TIMES + TEXTS)
        elif how == 6:
            opened, closed = ("[", "]") if dice.random() < 0.5 else ('{"a":', "}")
            deep = dice.choice([10, 63, 64, 65, 1000, 20_000])
            holder[key] = self.as_is(opened * deep + "1" + closed * deep, raws)
        elif how == 7:  # twice the same name
            again = f',"{key}":1' if isinstance(holder, dict) else ",1"
            holder[key] = self.as_is(json.dumps(value) + again, raws)
        elif how == 8:
            holder[key] = dice.choice(list(self.ids.values()))
        else:
            other, at = dice.choice(found)
            if (at in other) if isinstance(other, dict) else (at < len(other)):
                holder[key] = copy.deepcopy(other[at])

    @staticmethod
    def broken(data, dice):
        """Text that is no JSON any more, or not quite."""
        at = dice.randrange(len(data) + 1)
        how = dice.randrange(10)
        if how == 0:
            return data[:at]
        if how == 1:
            bad = dice.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe4\xb8", b"\0", b"\x1f"])
            return data[:at] + bad + data[at:]
        if how == 2:
            return data[:at] + dice.choice([b",", b":", b"}", b"]", b"{", b"[", b'"', b"\\", b"'", b"/**/", b"#", b"0"]) + data[at:]
        if how == 3:
            return data + dice.choice([b"{}", b",", b"\0", b"x", b" \n\t", data])
        if how == 4:
            return dice.choice([b"\xef\xbb\xbf", b" " * 5000, b"\n", b"\0"]) + data
        if how == 5:
            return data.replace(b'"', dice.choice([b"'", b"", b'\\"', b'""']), dice.randint(1, 4))
        if how == 6:
            return data.decode("utf-8", "surrogatepass").encode(dice.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"]), "surrogatepass")
        if how == 7:
            return data.replace(b":", dice.choice([b"=", b"::", b"", b" :\n"]), 1)
        if how == 8:
            escape = dice.choice([b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\\x41", b"\\u12", b"\\U0001F4A9"])
            return data.replace(b'"', b'"' + escape, dice.randint(1, 3))
        return b"[" * dice.choice([64, 65, 100_000]) + data

    # --- the rest

    def parameter(self, route, dice):
        names = [query["name"] for query in route.query] + [
            "colour", "", "page_size", "page_token", "expand", "validate_only", "id", "a.b.c", "%00", "state"]
        values = NUMBERS + TIMES + TEXTS + list(self.ids.values()) + ["1", "50", "true", "PUBLISHED", "listing,buyer", "AAAA" * 20]
        how, name, second = dice.random(), dice.choice(names), dice.choice(names)
        if how < 0.7:
            return name + "=" + urllib.parse.quote(dice.choice(values)[:1500], safe="")
        if how < 0.9:
            return name + dice.choice(["", "=", "==", "=%", "=%zz", "=%ff", "=+", "[]=1", f"=1&{second}=2", "=1;a=2", "=%00"])
        return dice.choice(["&&&", "=", "%", "?", "a" * 3000, "=&=&=", "%ff=%ff", "a=b=c", "+=+"])

    def path(self, target, dice):
        piece = dice.choice(PATHS)
        how = dice.randrange(5)
        if how == 0:
            return target + piece.replace("?", "/")
        at = dice.randrange(1, len(target) + 1)
        if how == 1:
            return target[:at] + piece + target[at:]
        if how == 2:
            return "/v1/" + piece
        if how == 3:
            return target.swapcase()
        first = dice.choice(["v2", "v1", "V1", "api", "problems", "docs", "openapi.json", "metrics", "oauth2"])
        return f"/{first}/" + piece.lstrip("/")

    @staticmethod
    def garbage(data, dice):
        """Bytes changed, lost, doubled, put in: anywhere."""
        data = bytearray(data)
        for _ in range(dice.choice([1, 1, 2, 4, 8, 30])):
            at = dice.randrange(len(data) + 1)
            how = dice.randrange(8)
            if how == 0 and at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            elif how == 1:
                del data[at:at + dice.randint(1, 20)]
            elif how == 2:
                data[at:at] = data[at:at + dice.randint(1, 60)]
            elif how == 3:
                data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 10)))
            elif how == 4:
                data[at:at] = dice.choice([b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\0", b":", b"\t", b"Content-Length: 5\r\n",
                                           b"Transfer-Encoding: chunked\r\n"])
            elif how == 5:
                del data[at:]
            elif how == 6:
                lines = bytes(data).split(b"\r\n")
                dice.shuffle(lines)
                data = bytearray(b"\r\n".join(lines))
            else:
                data = bytearray(re.sub(rb"Content-Length: \d+", b"Content-Length: " + dice.choice(
                    [b"0", b"1", b"-1", b"99999", b"18446744073709551616", b"5, 5", b"0x5", b" 7"]), bytes(data)))
        return bytes(data)


def unfinished(data):
    """Whether a server that keeps to HTTP still waits for more: the only time when it may say nothing to what ended there."""
    data = data.removeprefix(b"\r\n")
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return True
    length = re.search(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(\r\n|$)", head, re.I)
    return (length and int(length[1]) > len(rest)) or b"transfer-encoding" in head.lower()


def fault(reply):
    """What is wrong with an answer; empty if nothing."""
    if reply.status >= 500:
        return "a server error"
    if reply.status < 300 or reply.status == 304:
        packed = reply.header("content-encoding") == "gzip"
        if reply.header("content-type") == "application/json" and reply.body:
            json.loads(gzip.decompress(reply.body) if packed else reply.body)
        return ""
    problem = reply.problem
    if problem is None:
        return "no application/problem+json"
    for name, kind in (("type", str), ("title", str), ("status", int), ("detail", str), ("code", str), ("request_id", str)):
        if not isinstance(problem.get(name), kind) or not problem[name]:
            return f"no {name}"
    if problem["status"] != reply.status or problem["request_id"] != reply.header("request-id"):
        return "body and header differ"
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", problem["code"]):
        return "a code that is none"
    if LEAK.search(reply.body.decode()):
        return "it says what is inside"
    return ""


class Run:
    """The threads of a run, and what they found."""

    def __init__(self, mutator, url):
        self.mutator, self.url = mutator, url
        self.lock = threading.Lock()
        self.failures, self.statuses, self.codes = [], collections.Counter(), collections.Counter()

    def note(self, number, what, data, said, reply):
        with self.lock:
            self.failures.append(f"{said}; seed {SEED}, number {number} ({what})\n  sent: {data[:6000]!r}\n  got:  {reply}")

    def one(self, number, wire, other):
        data, what, kind = b"", "", ""
        try:
            data, what, kind = self.mutator.make(number)
            self.exchange(number, data, what, kind, other if kind in ("raw", "headers") else wire)
        except Exception as e:  # whatever it is, the request belongs to it
            self.note(number, what, data, f"{type(e).__name__}: {e}", None)
            wire.close()
            other.close()

    def exchange(self, number, data, what, kind, wire):
        raw = kind == "raw"
        wire.send(data)
        if raw:
            wire.ends()
        headless = data.startswith(b"HEAD ")
        reply = wire.receive(bodiless=headless)
        if ONLY:
            print(f"{what}\n{data!r}\n{reply}")
        if reply is None and not (raw and unfinished(data)):
            self.note(number, what, data, "no answer", reply)
        with self.lock:
            self.statuses[f"{kind} {reply.status if reply else 'none'}"] += 1
        while reply is not None:
            wrong = fault(reply) if not headless else "a server error" if reply.status >= 500 else ""
            if wrong:
                self.note(number, what, data, wrong, reply)
            with self.lock:
                self.codes[reply.problem["code"] if not headless and reply.problem else "none"] += 1
            reply = wire.receive() if raw else None
        if raw:
            wire.close()

    def work(self, first):
        # Wrong credentials are counted by address, so they come from another one.
        wire, other = Wire(self.url), Wire(self.url, source=f"127.0.0.{80 + first}")
        for number in range(first, COUNT, THREADS):
            if len(self.failures) >= FAILURES_SHOWN:
                break
            if ONLY is None or int(ONLY) == number:
                self.one(number, wire, other)
        wire.close()
        other.close()


def test_no_request_is_too_wrong_for_an_answer(world):
    url = world.platform.instance["url"]
    contract = Contract(world.platform.client().get("/openapi.json").body)
    estate = Estate(world)
    processes = dict(world.platform.instance["processes"])
    run = Run(Mutator(world, contract, estate), url)
    drip = Drip(url)
    drip.start()
    began = time.monotonic()
    threads = [threading.Thread(target=run.work, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted = time.monotonic() - began
    print(f"{sum(run.statuses.values())} answers in {lasted:.1f} s; {sorted(run.statuses.items())}; {run.codes.most_common()}")
    assert not run.failures, "\n\n".join(run.failures)
    assert sum(run.statuses.values()) == (1 if ONLY else COUNT)
    # A byte now and then keeps no connection longer than the header's deadline, 10 s in all, whatever else there is to do.
    drip.join()
    assert drip.lasted and 8 < drip.lasted < 14 and drip.got.startswith(b"HTTP/1.1 408 "), (drip.lasted, drip.got[:300])
    # Nothing died, nothing is worse than before.
    assert world.platform.instance["processes"] == processes
    with Wire(url) as wire:
        assert wire.ask(request("GET", "/readyz", "a")).body == b"ready\n"
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    booked = world.book(buyer, world.listing(provider), world.window(days=9))
    assert world.booking(buyer, booked["id"], "HELD")["actions"]
    if ONLY is None:
        # The mutations are neither all refused at the door nor all harmless.
        assert len(run.codes) >= 30, run.codes
        assert sum(n for status, n in run.statuses.items() if status.endswith((" 200", " 201"))) > COUNT // 50
