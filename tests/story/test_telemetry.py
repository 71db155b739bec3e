# SPDX-License-Identifier: Apache-2.0
"""What an operator sees: traces over all roles, metrics, readiness, no secrets; and quotas that hold."""
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import stat
import threading
import time
import urllib.error
import urllib.request

import pytest

from local_platform import Platform
from world import DEPOSIT, TOTAL, World


class Collector:
    """Takes OTLP/HTTP in JSON, as a collector would; refuses the first batch, to be asked again."""

    def __init__(self):
        self.spans, self.refusals = [], 1
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
                status = 200
                if collector.refusals > 0:
                    collector.refusals, status = collector.refusals - 1, 503
                else:
                    for resource in body["resourceSpans"]:
                        names = {a["key"]: a["value"]["stringValue"] for a in resource["resource"]["attributes"]}
                        for scope in resource["scopeSpans"]:
                            collector.spans += [dict(span, service=names["service.name"]) for span in scope["spans"]]
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def trace(self, id):
        return [span for span in list(self.spans) if span["traceId"] == id]


@pytest.fixture(scope="module")
def collector():
    one = Collector()
    yield one
    one.server.shutdown()


@pytest.fixture(scope="module")
def split_platform(collector):
    started = Platform(split=True, settings={"otlp_endpoint": collector.url})
    yield started
    started.stop()


def fetch(url):
    """Status and text of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


def test_one_request_over_split_roles_is_one_trace(split_world, collector):
    world = split_world
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{parent}-01", "tracestate": "vendor=opaque"}
    answer = buyer.client.send("POST", "/v1/bookings", world.booking_body(listing, world.window()), headers=headers)
    assert answer.status == 201, answer.raw
    assert answer.headers["traceparent"].split("-")[1] == trace

    def complete():
        spans = collector.trace(trace)
        names = {span["name"] for span in spans}
        services = {span["service"] for span in spans}
        return "POST /v1/bookings" in names and "writer.batch" in names and {"gateway", "operations"} <= services

    until(complete)
    spans = collector.trace(trace)
    ids = {span["spanId"] for span in spans}
    root = [span for span in spans if span["name"] == "POST /v1/bookings"]
    assert len(root) == 1 and root[0]["parentSpanId"] == parent and root[0]["traceState"] == "vendor=opaque"
    assert root[0]["spanId"] == answer.headers["traceparent"].split("-")[2]
    # Connected: but for the root, whose parent is ours, every span's parent is in the trace.
    lost = [(span["service"], span["name"]) for span in spans if span["parentSpanId"] not in ids | {parent}]
    assert not lost, lost
    kinds = {(span["name"], span["kind"]) for span in spans}
    assert any(kind == 3 and "CreateBooking" in name for name, kind in kinds), kinds
    assert any(kind == 2 and "CreateBooking" in name for name, kind in kinds), kinds
    assert any(name.startswith("postgres.") for name, _ in kinds), kinds
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    # Not sampled: obeyed everywhere.
    silent = secrets.token_hex(16)
    buyer.client.send("GET", "/v1/bookings", headers={"traceparent": f"00-{silent}-{parent}-00"})
    marker = secrets.token_hex(16)
    buyer.client.send("GET", "/v1/bookings", headers={"traceparent": f"00-{marker}-{parent}-01"})
    until(lambda: collector.trace(marker))
    assert not collector.trace(silent)


SAMPLE = re.compile(r'^[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? (NaN|[-+0-9.e]+(Inf)?)$')


def test_metrics_say_what_happens_and_name_no_one(world):
    provider = world.organization("示例提供方")
    provider.client.get("/v1/listings")
    provider.client.refuse("GET", "/v1/no/such/route")
    admin = world.platform.instance["admin"]["all"]
    status, text = fetch(f"{admin}/metrics")
    assert status == 200
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or SAMPLE.match(line), line
    for part in ('millrace_http_request_duration_seconds_bucket{method="GET",route="/v1/listings",status="200",le="0.005"}',
                 'millrace_http_request_duration_seconds_count{method="GET",route="unmatched",status="404"}',
                 'millrace_http_requests_in_flight 0', 'millrace_http_connections ', 'millrace_http_connections_turned_away_total ',
                 'millrace_rpc_client_duration_seconds_bucket{method="',
                 'transport="local"', 'millrace_postgres_statement_duration_seconds_bucket{service="listing"',
                 'millrace_pool_wait_seconds_bucket{pool="postgres"', 'millrace_writer_batch_commands_bucket',
                 'millrace_relay_lag_events{service="escrow"}', 'millrace_consumer_lag_events{service="',
                 'millrace_events_parked{service="', 'millrace_tasks_due{service="', 'process_resident_memory_bytes ',
                 'millrace_build_info{version="'):
        assert part in text, part
    assert not re.search(r"(org|key|req|bkg|usr)_[0-9A-HJKMNP-TV-Z]{26}", text)
    assert fetch(f"{admin}/livez") == (200, "alive\n")
    assert json.loads(fetch(f"{admin}/version")[1])["name"] == "millrace"
    ready = json.loads(fetch(f"{admin}/readyz?verbose")[1])
    assert ready["ready"] and {p["module"] for p in ready["parts"]} >= {"identity", "escrow", "operations"}
    # Nothing of this at the public edge.
    url = world.platform.instance["url"]
    for path in ("/metrics", "/debug", "/debug/pprof"):
        assert fetch(url + path)[0] == 404
    assert fetch(f"{url}/livez")[0] == 200 and fetch(f"{url}/readyz")[0] == 200


def test_a_lost_database_shows_within_five_seconds(split_world):
    world = split_world
    admin = world.platform.instance["admin"]["escrow"]
    assert fetch(f"{admin}/readyz")[0] == 200
    postgres = world.platform.pid("postgres")
    # Silent, not gone: the worst case.
    children = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and parent_of(p) == postgres]
    stopped = [pid for pid in [postgres, *children] if stop_process(pid)]
    try:
        began = time.monotonic()
        until(lambda: fetch(f"{admin}/readyz")[0] == 503, 10)
        assert time.monotonic() - began < 6
        parts = json.loads(fetch(f"{admin}/readyz?verbose")[1])["parts"]
        assert [p["dependency"] for p in parts if not p["ready"]] == ["database"]
        assert fetch(f"{admin}/livez")[0] == 200
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    until(lambda: fetch(f"{admin}/readyz")[0] == 200, 20)


def parent_of(folder):
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1


def stop_process(pid):
    try:
        os.kill(pid, signal.SIGSTOP)
        return True
    except ProcessLookupError:
        return False


def test_no_secret_in_logs_or_arguments(world):
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    booked = world.book(buyer, listing, world.window(days=5))
    world.transfer(buyer, TOTAL + DEPOSIT)
    world.booking(buyer, booked["id"], "CONFIRMED")
    world.platform.client("sk_test_canary0000000000000000000000").refuse("GET", "/v1/listings")
    keys = json.loads((world.platform.data / "keys.json").read_text())
    canaries = {provider.secret, buyer.secret, "sk_test_canary0000000000000000000000", *keys.values()}
    assert len(canaries) >= 7
    for log in (world.platform.data / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not [c for c in canaries if c in text], log
    lines = [json.loads(l) for l in (world.platform.data / "log/all.log").read_text().splitlines() if l.startswith("{")]
    requests = [l for l in lines if l["msg"] == "http.request"]
    assert requests and all(l["request_id"].startswith("req_") and len(l["trace"]) == 32 for l in requests)
    for name, pid in world.platform.instance["processes"].items():
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not [c for c in canaries if c in arguments], name
        # Where secrets are in the environment, it is its owner's alone.
        assert stat.S_IMODE(os.stat(f"/proc/{pid}/environ").st_mode) & 0o077 == 0


def limit_of(answer):
    policy = re.fullmatch(r'"default";q=(\d+);w=(\d+)', answer.headers["ratelimit-policy"])
    limit = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert policy and limit, answer.headers
    return int(policy[1]), int(policy[2]), int(limit[1]), int(limit[2])


def test_a_quota_holds_and_comes_back():
    platform = Platform(settings={"rate_limit_requests": 10, "rate_limit_window": 30})
    try:
        world = World(platform)
        buyer = world.organization("示例需求方")
        left, answers = [], []
        for _ in range(30):
            answers.append(buyer.client.send("GET", "/v1/bookings"))
            quota, window, remaining, seconds = limit_of(answers[-1])
            assert (quota, window) == (10, 30) and 1 <= seconds <= 30
            left.append(remaining)
            if answers[-1].status == 429:
                break
        refused = answers[-1]
        assert refused.status == 429 and 10 <= len(answers) - 1 <= 14, left
        assert left == sorted(left, reverse=True) and left[-1] == 0
        assert all(answer.status == 200 for answer in answers[:-1])
        assert refused.body["code"] == "RATE_LIMITED" and refused.body["violated-policies"] == ["default"]
        assert refused.body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        after = int(refused.headers["retry-after"])
        assert after >= limit_of(refused)[3]
        # Another key is another quota; without a key there is none.
        assert world.organization("示例同行").client.send("GET", "/v1/bookings").status == 200
        assert "ratelimit" not in platform.client().send("GET", "/v1").headers
        time.sleep(after)
        assert buyer.client.send("GET", "/v1/bookings").status == 200
        # Without Redis nobody is refused for that.
        os.kill(platform.pid("redis"), signal.SIGSTOP)
        try:
            time.sleep(after + 3)
            assert buyer.client.send("GET", "/v1/bookings").status == 200
        finally:
            os.kill(platform.pid("redis"), signal.SIGCONT)
    finally:
        platform.stop()
