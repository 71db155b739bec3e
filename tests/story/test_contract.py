# SPDX-License-Identifier: Apache-2.0
"""The contract as clients meet it: OpenAPI, documentation, partial updates, expansion, dry runs."""
import copy
import json
import pathlib
import re
import subprocess
import uuid

import pytest

from openapi_diff import breaking_changes

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/openapi.golden.json"
RELEASED = ROOT / "tests/data/openapi.released.json"
SPECTRAL = ROOT / "build/tools/node_modules/.bin/spectral"


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def pair(world):
    provider, buyer = world.organization("甲方机械"), world.organization("乙方需求")
    listing = world.listing(provider)
    return provider, buyer, listing


def test_the_served_document_is_the_golden_one(world, golden):
    client = world.platform.client()
    served = client.get("/openapi.json")
    assert served.body == golden
    assert served.body["openapi"] == "3.1.0" and served.body["info"]["license"]["identifier"] == "Apache-2.0"
    assert "booking.confirmed" in served.body["webhooks"]
    again = client.send("GET", "/openapi.json", headers={"If-None-Match": served.headers["etag"]})
    assert again.status == 304 and again.raw == b""
    older = client.get("/openapi-3.0.json").body
    assert older["openapi"] == "3.0.3" and "webhooks" not in older
    assert older["paths"].keys() == served.body["paths"].keys()
    text = json.dumps(older)
    assert '"null"' not in text and '"contentEncoding"' not in text


def test_nothing_breaks_the_last_release(golden):
    if RELEASED.exists():
        assert breaking_changes(json.loads(RELEASED.read_text()), golden) == []
    assert breaking_changes(golden, golden) == []


def at(document, path):
    for part in path.split("|"):
        document = document[int(part) if isinstance(document, list) else part]
    return document


def gone(path):
    def change(document):
        holder, _, last = path.rpartition("|")
        del at(document, holder)[last]
    return change


def put(path, value):
    def change(document):
        holder, _, last = path.rpartition("|")
        at(document, holder)[last] = value
    return change


def more(path, value):
    return lambda document: at(document, path).append(value)


BOOK = "paths|/v1/bookings|post"
SCHEMAS = "components|schemas"
BREAKING = [
    (gone("paths|/v1/bookings"), "GET /v1/bookings: is gone"),
    (gone(BOOK), "POST /v1/bookings: is gone"),
    (gone("webhooks|booking.held"), "POST booking.held: is gone"),
    (put(BOOK + "|operationId", "Book"), "operationId CreateBooking became Book"),
    (gone(SCHEMAS + "|Booking|properties|units"), "member units is gone"),
    (gone(SCHEMAS + "|Booking|properties|state"), "member state is gone"),
    (put(SCHEMAS + "|Booking|properties|units|type", "string"), "type integer became string"),
    (put(SCHEMAS + "|Booking|properties|units|maximum", 10), "maximum became 10"),
    (put(SCHEMAS + "|Booking|properties|work|readOnly", True), "member work became read only"),
    (more(SCHEMAS + "|Booking|required", "work"), "member work became required"),
    (lambda d: at(d, SCHEMAS + "|BookingState|enum").remove("HELD"), "value HELD is gone"),
    (gone("paths|/v1/bookings|get|responses|200"), "answer 200 is gone"),
    (lambda d: at(d, SCHEMAS + "|ListBookingsResponse|required").remove("data"), "member data may be absent now"),
    (more(BOOK + "|parameters", {"name": "reason", "in": "query", "required": True, "schema": {"type": "string"}}),
     "new required query parameter reason"),
    (put("paths|/v1/processes|get|security", [{"bearer": []}]), "needs a credential now"),
    (put(BOOK + "|security", [{"bearer": []}, {"oauth2": ["money:write"]}]), "oauth2 bookings:write is not enough"),
    (lambda d: at(d, "paths|/v1/bookings|get|parameters").pop(0), "parameter page_size is gone"),
]


@pytest.mark.parametrize("change, said", BREAKING, ids=[said for _, said in BREAKING])
def test_the_checker_finds_what_breaks_clients(golden, change, said):
    new = copy.deepcopy(golden)
    change(new)
    assert any(said in line for line in breaking_changes(golden, new)), breaking_changes(golden, new)


def test_the_checker_lets_additions_pass(golden):
    new = copy.deepcopy(golden)
    new["paths"]["/v1/new"] = copy.deepcopy(new["paths"]["/v1/bookings"])
    at(new, SCHEMAS + "|Booking|properties")["extra"] = {"type": "string"}
    at(new, SCHEMAS + "|BookingState|enum").append("LATE")
    at(new, SCHEMAS + "|Booking|properties|units")["maximum"] = 2_000_000
    at(new, BOOK + "|parameters").append({"name": "hint", "in": "query", "schema": {"type": "string"}})
    assert breaking_changes(golden, new) == []


@pytest.mark.parametrize("name", ["openapi.json", "openapi-3.0.json"])
def test_spectral_finds_no_fault(world, tmp_path, name):
    assert SPECTRAL.exists(), "scripts/install test brings it"
    document, ruleset = tmp_path / name, tmp_path / "ruleset.yaml"
    document.write_bytes(world.platform.client().get("/" + name).raw)
    ruleset.write_text('extends: ["spectral:oas"]\n')
    checked = subprocess.run([SPECTRAL, "lint", "--fail-severity", "warn", "-f", "text", "-r", ruleset, document],
                             capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout[-4000:] + checked.stderr[-2000:]


def test_pages_for_people(world):
    client = world.platform.client()
    for language, word in (("zh", "调用约定"), ("en", "How calls work")):
        page = client.send("GET", "/docs", headers={"Accept-Language": language})
        text = page.raw.decode()
        assert page.status == 200 and word in text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.url + "/v1/bookings" in text and "@base@" not in text
        assert 'href="/problems/booking-conflict"' in text
        assert not re.search(r"""(src|href|action)=["']?https?:|url\(|@import""", text), "the page asks no other server"
    stranger = client.send("GET", "/docs", headers={"Host": 'x"><script>alert(1)</script>'})
    assert b"alert(1)" not in stranger.raw
    for file, kind in (("docs.css", "text/css"), ("docs.js", "text/javascript")):
        assert client.send("GET", f"/docs/{file}").headers["content-type"].startswith(kind)
    index = client.send("GET", "/problems").raw.decode()
    assert 'href="/problems/booking-conflict"' in index
    assert client.get("/version")["name"] == "Millrace"


def change(client, path, patch, etag, **more):
    headers = {"Content-Type": "application/merge-patch+json"}
    if etag:
        headers["If-Match"] = etag if etag == "*" else f'"{etag}"'
    return client.send("PATCH", path, patch, headers=headers | more.pop("headers", {}), **more)


def test_a_patch_changes_what_it_names(world, pair):
    provider, buyer, listing = pair
    client, path = provider.client, f"/v1/resources/{listing['resource_id']}"
    before = client.get(path)
    key = f"patch-{uuid.uuid4()}"
    patch = {"maker": "新厂", "metadata": {"hall": "3"}, "display_name": {"en": "Mill 3"}}
    after = change(client, path, patch, before.etag, idempotency_key=key)
    assert after.status == 200, after.body
    assert after["maker"] == "新厂" and after["metadata"] == {**before["metadata"], "hall": "3"}
    assert after["display_name"] == {**before["display_name"], "en": "Mill 3"}
    assert {k: v for k, v in after.body.items() if k not in ("maker", "metadata", "display_name", "etag", "update_time")} == \
        {k: v for k, v in before.body.items() if k not in ("maker", "metadata", "display_name", "etag", "update_time")}
    # Somebody else changes it; the same patch again is the same command all the same.
    other = change(client, path, {"model": "M2"}, after.etag)
    assert other["model"] == "M2" and other["maker"] == "新厂"
    again = change(client, path, patch, before.etag, idempotency_key=key)
    assert again.replayed and again.body == after.body
    reused = change(client, path, {"maker": "别家"}, before.etag, idempotency_key=key)
    assert (reused.status, reused["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    removed = change(client, path, {"metadata": {"hall": None}, "model": None}, "*")
    assert "hall" not in removed["metadata"] and removed["model"] == ""


def test_a_patch_that_is_none_is_refused(world, pair):
    provider, buyer, listing = pair
    client, path = provider.client, f"/v1/listings/{listing['id']}"
    now = client.get(path)
    refusals = [
        (change(client, path, {"external_id": "x"}, ""), 428, "ETAG_REQUIRED", None),
        (change(client, path, {"external_id": "x"}, "99999"), 412, "ETAG_MISMATCH", None),
        (change(client, path, {"state": "RETIRED"}, now.etag), 400, "OUTPUT_ONLY", "#/state"),
        (change(client, path, {"nmae": None}, now.etag), 400, "UNKNOWN_FIELD", "#/nmae"),
        (change(client, path, {"resource_id": None}, now.etag), 400, "REQUIRED", "#/resource_id"),
        (change(client, path, [1], now.etag), 400, "WRONG_TYPE", "#"),
        (change(client, path, b"{", now.etag), 400, "INVALID_JSON", "#"),
        (change(client, path, {"external_id": "x"}, now.etag, headers={"Content-Type": "application/json"}), 415,
         "UNSUPPORTED_MEDIA_TYPE", None),
        (change(buyer.client, f"/v1/resources/{listing['resource_id']}", {"maker": "x"}, "*"), 404, "NOT_FOUND", None),
    ]
    for answer, status, code, pointer in refusals:
        assert (answer.status, answer["code"]) == (status, code), answer.body
        if pointer:
            assert answer["errors"][0]["pointer"] == pointer, answer.body
        if status == 415:
            assert answer.headers["accept-patch"] == "application/merge-patch+json"
    same = change(client, path, {"state": now["state"], "external_id": "again"}, now.etag)
    assert same["external_id"] == "again"


def test_a_whole_object_goes_back_as_it_came(world, pair):
    provider, buyer, listing = pair
    client, path = provider.client, f"/v1/listings/{listing['id']}"
    whole = client.get(path)
    body = {**whole.body, "external_id": "whole"}
    key = f"put-{uuid.uuid4()}"
    put_back = client.send("PUT", path, body, key, headers={"If-Match": f'"{whole.etag}"'})
    assert put_back.status == 200 and put_back["external_id"] == "whole", put_back.body
    again = client.send("PUT", path, body, key, headers={"If-Match": f'"{whole.etag}"'})
    assert again.replayed and again.body == put_back.body
    late = client.send("PUT", path, body, headers={"If-Match": f'"{whole.etag}"'})
    assert (late.status, late["code"]) == (412, "ETAG_MISMATCH")
    wrong = client.send("PUT", path, {**put_back.body, "state": "RETIRED"}, headers={"If-Match": f'"{put_back.etag}"'})
    assert (wrong.status, wrong["code"], wrong["errors"][0]["pointer"]) == (400, "OUTPUT_ONLY", "#/state")


def test_expand_brings_what_the_caller_may_see(world, pair):
    provider, buyer, listing = pair
    listing = provider.client.get(f"/v1/listings/{listing['id']}").body  # as other tests left it
    booking = world.book(buyer, listing, world.window())
    path = f"/v1/bookings/{booking['id']}"
    seen = buyer.client.get(path + "?expand=listing,resource,buyer,provider,demand")
    assert seen["listing"]["id"] == listing["id"] and seen["buyer"]["id"] == buyer.id
    assert "resource" not in seen.body and "provider" not in seen.body and "demand" not in seen.body
    assert "etag" not in seen.headers
    theirs = provider.client.get(path + "?expand=resource")
    assert theirs["resource"] == provider.client.get(f"/v1/resources/{listing['resource_id']}").body
    page = buyer.client.get("/v1/bookings?expand=listing")
    assert page["data"] and all(each["listing"]["id"] == each["listing_id"] for each in page["data"])
    wrong = buyer.client.send("GET", path + "?expand=ledger")
    assert (wrong.status, wrong["code"]) == (400, "INVALID_QUERY")
    assert wrong["errors"][0]["parameter"] == "expand" and "listing" in wrong["errors"][0]["detail"]


def test_a_dry_run_has_no_effect(world, pair):
    provider, buyer, listing = pair
    listing = provider.client.get(f"/v1/listings/{listing['id']}").body  # as other tests left it
    body = world.booking_body(listing, world.window(days=5))
    dry = buyer.client.send("POST", "/v1/bookings?validate_only=true", body)
    assert dry.status == 201 and "location" not in dry.headers, dry.body
    assert buyer.client.send("GET", f"/v1/bookings/{dry['id']}").status == 404 or not dry["id"]
    path = f"/v1/listings/{listing['id']}"
    before = provider.client.get(path)
    paused = provider.client.send("POST", path + ":pause?validate_only=true", {})
    assert paused.status == 200 and paused["state"] == "PAUSED"
    patched = change(provider.client, path + "?validate_only=true", {"external_id": "dry"}, before.etag)
    assert patched.status == 200 and patched["external_id"] == "dry"
    assert provider.client.get(path).body == before.body
    clock = world.now()
    moved = world.operator.send("POST", "/v1/clock:advance?validate_only=true", {"to_time": "2099-01-01T00:00:00Z"})
    assert moved.status == 200 and abs((world.now() - clock).total_seconds()) < 3600
    stored = buyer.client.send("POST", "/v1/attachments?validate_only=true", b"never kept",
                               headers={"Content-Type": "text/plain"})
    assert stored.status == 201
    assert buyer.client.send("GET", f"/v1/attachments/{stored['sha256']}").status == 404
    wrong = buyer.client.send("GET", "/v1/bookings?validate_only=true")
    assert (wrong.status, wrong["code"]) == (400, "INVALID_QUERY")


def test_pages_link_to_the_next_one(world, pair):
    provider, buyer, listing = pair
    world.listing(provider)
    path, seen = "/v1/listings?page_size=1", []
    while path:
        page = provider.client.get(path)
        seen += [each["id"] for each in page["data"]]
        link = page.headers.get("link", "")
        path = link[1:link.index(">")] if link else ""
        assert not link or link.endswith('>; rel="next"')
    assert len(seen) == len(set(seen)) >= 2


def test_headers_and_refusals_of_the_protocol(world, pair):
    provider, buyer, listing = pair
    listing = provider.client.get(f"/v1/listings/{listing['id']}").body  # as other tests left it
    made = buyer.client.post("/v1/bookings", world.booking_body(listing, world.window(days=9)))
    assert made.headers["idempotency-key-expires"].endswith("GMT")
    refused = buyer.client.send("GET", "/v1/bookings", headers={"Accept": "text/html"})
    assert (refused.status, refused["code"]) == (406, "NOT_ACCEPTABLE")
    for accepted in ("*/*", "application/json;q=0.1, text/html", "application/*", "text/html, */*;q=0.1"):
        assert buyer.client.send("GET", "/v1/bookings", headers={"Accept": accepted}).status == 200
    assert buyer.client.send("GET", "/v1/bookings", headers={"Accept": "application/json;q=0, */*"}).status == 406
    wrong = buyer.client.send("GET", "/v1/bookings?page_size=x&state=NONE&colour=red")
    assert {e["parameter"] for e in wrong["errors"]} == {"page_size", "state", "colour"}
    key = buyer.client.post("/v1/api_keys", {"display_name": "short-lived"})
    bare = buyer.client.send("DELETE", f"/v1/api_keys/{key['id']}", headers={"If-Match": None})
    assert (bare.status, bare["code"]) == (428, "ETAG_REQUIRED")
    assert buyer.client.send("DELETE", f"/v1/api_keys/{key['id']}", headers={"If-Match": "*"}).status == 200
