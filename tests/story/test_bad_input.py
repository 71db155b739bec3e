# SPDX-License-Identifier: Apache-2.0
"""What the platform refuses, with which code, in both languages, and that a refusal changes nothing."""
import concurrent.futures
import copy
import json
import time
import uuid

import pytest

from local_platform import Client, make_uscc
from world import DEPOSIT, TOTAL, fen


@pytest.fixture(scope="module")
def trade(world):
    """A provider with a published listing, and two buyers."""

    class Trade:
        provider, buyer, other = world.organization("示例提供方"), world.organization("示例需求方"), world.organization("旁人")
        listing = world.listing(provider)

    return Trade


def registration(**changes):
    return {"display_name": "示例", "uscc": make_uscc(uuid.uuid4().int), "industry_code": "C34", "region_code": "320583", **changes}


def without_request_ids(problem):
    body = copy.deepcopy(problem.body)
    for name in ("request_id", "instance"):
        body.pop(name, None)
    return body


def pointers(problem):
    return [fault["pointer"] for fault in problem.body.get("errors", [])]


@pytest.mark.parametrize("body", [
    b"", b"{", b'{"window":', b"not json", b'{"a":1,}', b"{'a':1}", b'{"units":1,"units":2}', b'{"units":NaN}',
    b'{"work":"\xff\xfe"}', b"[]", b'"text"', b"null", b"{}{}", b'{"work":"\x01"}'])
def test_malformed_json(trade, body):
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", body)
    assert problem.status == 400, problem
    assert problem.code in ("INVALID_JSON", "WRONG_TYPE", "REQUIRED", "INVALID_REQUEST", "UNKNOWN_FIELD"), problem


def test_unknown_field(world, trade):
    body = world.booking_body(trade.listing, world.window(), price={"total": {"amount": "1", "currency": "CNY"}}, colour="red")
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", body)
    assert problem.status == 400 and "#/colour" in pointers(problem)
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, world.window(), colour="red"))
    assert (problem.status, problem.code) == (400, "UNKNOWN_FIELD")


def test_read_only_field(world, trade):
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, world.window(), state="CONFIRMED"))
    assert (problem.status, problem.code) == (400, "OUTPUT_ONLY")
    assert pointers(problem) == ["#/state"]


@pytest.mark.parametrize("change, pointer", [
    ({"units": "two"}, "#/units"), ({"units": True}, "#/units"), ({"window": "tomorrow"}, "#/window"),
    ({"work": 7}, "#/work"), ({"listing_id": None}, "#/listing_id"), ({"window": []}, "#/window")])
def test_wrong_type(world, trade, change, pointer):
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, world.window(), **{}) | change)
    assert problem.status == 400 and problem.code in ("WRONG_TYPE", "REQUIRED"), problem
    assert pointer in pointers(problem)


@pytest.mark.parametrize("amount", [260.5, "260.5", "1e3", 1e300, "", "￥260", "0x10"])
def test_money_with_a_fraction(world, trade, amount):
    body = world.listing_body(world.resource(trade.provider)["id"])
    body["price_plan"]["steps"][0]["unit_price"] = amount
    problem = trade.provider.client.refuse("POST", "/v1/listings", body)
    assert problem.status in (400, 422) and problem.code in ("WRONG_TYPE", "INVALID_FORMAT", "OUT_OF_RANGE", "INVALID_JSON"), problem


def test_negative_and_huge_money(world, trade):
    for amount in ("-1", "1000000000000000", "99999999999999999999"):
        body = world.listing_body(world.resource(trade.provider)["id"])
        body["price_plan"]["setup_fee"] = amount
        problem = trade.provider.client.refuse("POST", "/v1/listings", body)
        assert problem.status in (400, 422) and problem.code in ("OUT_OF_RANGE", "WRONG_TYPE"), problem


@pytest.mark.parametrize("time, code", [
    ("2027-10-01T08:00:00", "TIME_WITHOUT_OFFSET"), ("2027-10-01 08:00", None), ("2027-10-01", None),
    ("2027-02-30T08:00:00Z", None), ("2027-10-01T25:00:00Z", None), ("yesterday", None)])
def test_times(world, trade, time, code):
    body = world.booking_body(trade.listing, {"start_time": time, "end_time": "2027-10-01T12:00:00+08:00"})
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", body)
    assert problem.status in (400, 422)
    assert problem.code == code if code else problem.code in ("INVALID_FORMAT", "WRONG_TYPE", "TIME_WITHOUT_OFFSET"), problem
    assert "#/window/start_time" in pointers(problem)


def test_end_before_start(world, trade):
    window = world.window()
    for end in (window["start_time"], "2020-01-01T00:00:00Z"):
        body = world.booking_body(trade.listing, {"start_time": window["start_time"], "end_time": end})
        problem = trade.buyer.client.refuse("POST", "/v1/bookings", body)
        assert (problem.status, problem.code) == (422, "END_BEFORE_START")


@pytest.mark.parametrize("unit", ["FORTNIGHT", "hour", "", 99, "1", None])
def test_unknown_unit(world, trade, unit):
    body = world.listing_body(world.resource(trade.provider)["id"])
    body["price_plan"]["unit"] = unit
    problem = trade.provider.client.refuse("POST", "/v1/listings", body)
    assert problem.status == 400 and problem.code in ("WRONG_TYPE", "REQUIRED"), problem
    assert pointers(problem) == ["#/price_plan/unit"]


def test_a_demand_without_meaning(world, trade):
    demand = {"title": "支架", "requirement": {"duration_minutes": "0", "window": world.window(hours=48)}}
    problem = trade.buyer.client.refuse("POST", "/v1/demands", demand)
    assert problem.status in (400, 422) and "#/requirement/duration_minutes" in pointers(problem), problem
    demand = {"title": "支架", "requirement": {"duration_minutes": "240", "window": world.window(), "processes": ["no.such.process"],
                                              "materials": ["unobtainium"]}}
    problem = trade.buyer.client.refuse("POST", "/v1/demands", demand)
    assert (problem.status, problem.code) == (400, "INVALID_REQUEST")  # several faults
    assert {fault["code"] for fault in problem.body["errors"]} == {"UNKNOWN_PROCESS", "UNKNOWN_MATERIAL"}, problem


def test_unknown_currency_and_time_zone(world, trade):
    body = world.listing_body(world.resource(trade.provider)["id"])
    body["price_plan"]["currency"] = "XYZ"
    body["calendar"]["time_zone"] = "Asia/Kunshan"
    problem = trade.provider.client.refuse("POST", "/v1/listings", body)
    codes = {fault["code"] for fault in problem.body["errors"]}
    assert codes == {"UNKNOWN_CURRENCY", "UNKNOWN_TIME_ZONE"}, problem


def test_credit_code(world):
    anyone = world.platform.client()
    right = make_uscc(uuid.uuid4().int)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    problem = anyone.refuse("POST", "/v1/organizations", registration(uscc=wrong))
    assert (problem.status, problem.code) == (422, "USCC_CHECK_DIGIT")
    assert pointers(problem) == ["#/uscc"] and wrong in problem.body["detail"]
    for text in ("", right[:17], right + "1", "I" + right[1:], right.lower()):
        assert anyone.refuse("POST", "/v1/organizations", registration(uscc=text)).code in ("USCC_FORMAT", "REQUIRED")
    anyone.post("/v1/organizations", registration(uscc=right))
    taken = anyone.refuse("POST", "/v1/organizations", registration(uscc=right))
    assert (taken.status, taken.code) == (409, "ALREADY_EXISTS") and "#/uscc" in pointers(taken)


def test_industry_and_region(world):
    anyone = world.platform.client()
    problem = anyone.refuse("POST", "/v1/organizations", registration(industry_code="A34"))
    assert (problem.status, problem.code) == (422, "UNKNOWN_INDUSTRY_CODE")
    problem = anyone.refuse("POST", "/v1/organizations", registration(industry_code="U01", region_code="99"))
    assert {"#/industry_code", "#/region_code"} & set(pointers(problem))


def test_no_key_wrong_key_wrong_role(world, trade):
    anyone = world.platform.client()
    assert anyone.refuse("GET", "/v1/bookings").code == "UNAUTHENTICATED"
    assert world.platform.client("sk_test_nonsense").refuse("GET", "/v1/bookings").code == "UNAUTHENTICATED"
    problem = trade.buyer.client.refuse("POST", f"/v1/organizations/{trade.other.id}:verify", {})
    assert (problem.status, problem.code) == (403, "INSUFFICIENT_SCOPE")
    assert trade.buyer.client.refuse("POST", "/v1/clock:advance", {"to_time": "2040-01-01T00:00:00Z"}).status == 403
    pending = world.organization(verify=False)
    problem = pending.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, world.window()))
    assert (problem.status, problem.code) == (403, "ORGANIZATION_NOT_VERIFIED")


def test_another_organizations_objects_look_like_nothing(world, trade):
    booked = world.book(trade.buyer, trade.listing, world.window(days=9), work="一件")
    resource = trade.listing["resource_id"]
    escrow = world.escrow(trade.buyer, booked["id"], "AWAITING", "HELD")
    site = trade.provider.client.post("/v1/sites", {"display_name": "厂房", "place": {"longitude": 120.6, "latitude": 31.3}}).body
    for path, id in [("/v1/bookings/", booked["id"]), ("/v1/work_orders/", booked["work_order_id"]), ("/v1/escrows/", escrow["id"]),
                     ("/v1/resources/", resource), ("/v1/sites/", site["id"]), ("/v1/organizations/", trade.buyer.id)]:
        random_id = id.split("_")[0] + "_01J9ZK3V6M2E8QW4T7Y1N5R0AB"
        foreign = trade.other.client.refuse("GET", path + id)
        nothing = trade.other.client.refuse("GET", path + random_id)
        assert foreign.status == nothing.status == 404
        assert without_request_ids(foreign) == without_request_ids(nothing), path
    for verb in ("checkIn", "cancel", "close"):
        foreign = trade.other.client.refuse("POST", f"/v1/bookings/{booked['id']}:{verb}", {})
        nothing = trade.other.client.refuse("POST", f"/v1/bookings/bkg_01J9ZK3V6M2E8QW4T7Y1N5R0AB:{verb}", {})
        assert foreign.status == nothing.status == 404
        assert without_request_ids(foreign) == without_request_ids(nothing)
    assert trade.other.client.get("/v1/bookings").body.get("data", []) == []
    trade.buyer.client.post(f"/v1/bookings/{booked['id']}:cancel")


def test_ids_of_another_kind(world, trade):
    problem = trade.buyer.client.refuse("GET", f"/v1/bookings/{trade.listing['id']}")
    assert (problem.status, problem.code) == (400, "INVALID_ID")
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body({"id": "lst_1", "version": "0"}, world.window()))
    assert (problem.status, problem.code) == (400, "INVALID_ID")


def test_outside_the_calendar_and_in_the_past(world, trade):
    night = world.window(start_hour=14)  # 22:00 in Shanghai
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, night))
    assert (problem.status, problem.code) == (422, "OUTSIDE_CALENDAR") and problem.body["alternatives"]
    over_the_end = world.window(start_hour=10, hours=4)  # 18:00 to 22:00, open until 20:00
    assert trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, over_the_end)).code == "OUTSIDE_CALENDAR"
    past = world.window(days=-2)
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, past))
    assert (problem.status, problem.code) == (422, "WINDOW_IN_PAST")
    short = world.window(hours=0.5)
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, short))
    assert (problem.status, problem.code) == (422, "DURATION_NOT_ALLOWED")
    own = trade.provider.client.refuse("POST", "/v1/bookings", world.booking_body(trade.listing, world.window()))
    assert (own.status, own.code) == (422, "OWN_RESOURCE")


def test_check_in_while_unfunded_and_release_before_acceptance(world, trade):
    window = world.window(days=10)
    booked = world.book(trade.buyer, trade.listing, window, work="一件")
    assert booked["state"] == "HELD"
    problem = trade.provider.client.refuse("POST", f"/v1/bookings/{booked['id']}:checkIn", {})
    assert (problem.status, problem.code) == (409, "BOOKING_NOT_FUNDED")
    escrow = world.escrow(trade.buyer, booked["id"], "AWAITING")
    world.transfer(trade.buyer, TOTAL + DEPOSIT)
    world.booking(trade.buyer, booked["id"], "CONFIRMED")
    problem = trade.provider.client.refuse("POST", f"/v1/bookings/{booked['id']}:checkIn", {})
    assert (problem.status, problem.code) == (409, "TOO_EARLY")
    problem = trade.buyer.client.refuse("POST", f"/v1/escrows/{escrow['id']}:release", {})
    assert (problem.status, problem.code) == (409, "NOT_ACCEPTED_YET")
    problem = trade.provider.client.refuse("POST", f"/v1/bookings/{booked['id']}:checkOut", {})
    assert (problem.status, problem.code) == (409, "STATE_CONFLICT")
    assert fen(trade.buyer.client.get(f"/v1/escrows/{escrow['id']}").body.get("captured", {})) == 0
    trade.buyer.client.post(f"/v1/bookings/{booked['id']}:cancel")


def test_idempotency(world, trade):
    body = world.booking_body(trade.listing, world.window(days=11))
    key = f"test-{uuid.uuid4()}"
    first = trade.buyer.client.post("/v1/bookings", body, key)
    again = trade.buyer.client.post("/v1/bookings", body, key)
    assert again.status == first.status == 201 and again.raw == first.raw
    assert again.replayed and not first.replayed
    # The same content in another order is the same request.
    assert trade.buyer.client.post("/v1/bookings", dict(reversed(body.items())), key).raw == first.raw
    other = trade.buyer.client.refuse("POST", "/v1/bookings", body | {"work": "别的"}, key)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    # A refusal is kept too.
    key = f"test-{uuid.uuid4()}"
    taken = trade.other.client.refuse("POST", "/v1/bookings", body, key)
    trade.buyer.client.post(f"/v1/bookings/{first['id']}:cancel")
    assert trade.other.client.refuse("POST", "/v1/bookings", body, key).code == taken.code == "BOOKING_CONFLICT"
    # Another organization's key is another key.
    mine = trade.other.client.post("/v1/bookings", body, f"shared-{first['id']}")
    assert trade.buyer.client.refuse("POST", "/v1/bookings", body, f"shared-{first['id']}").code == "BOOKING_CONFLICT"
    trade.other.client.post(f"/v1/bookings/{mine['id']}:cancel")

    without = trade.buyer.client.refuse("POST", "/v1/bookings", body, headers={"Idempotency-Key": None})
    assert (without.status, without.code) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    for bad in ("short", "x" * 256, "with blank in it"):
        assert trade.buyer.client.refuse("POST", "/v1/bookings", body, bad).code == "IDEMPOTENCY_KEY_INVALID"


def test_a_registration_replayed_shows_the_same_secret(world):
    body, key = registration(), f"test-{uuid.uuid4()}"
    first = world.platform.client().post("/v1/organizations", body, key)
    again = world.platform.client().post("/v1/organizations", body, key)
    assert again.raw == first.raw and again["api_key"]["secret"].startswith("sk_test_")
    client = world.platform.client(again["api_key"]["secret"])
    assert client.get("/v1/me")["organization"]["id"] == first["organization"]["id"]
    client.call("DELETE", f"/v1/api_keys/{first['api_key']['id']}", headers={"If-Match": "*"})
    end = time.monotonic() + 8  # at every gateway within 5 s
    while client.send("GET", "/v1/me").status == 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert client.refuse("GET", "/v1/me").code == "UNAUTHENTICATED"


def test_sixty_four_want_one_slot(world, trade):
    buyers = [trade.buyer, trade.other] + [world.organization(f"并发 {n}") for n in range(6)]
    window = world.window(days=12)
    body = world.booking_body(trade.listing, window)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: buyers[n % 8].client.send("POST", "/v1/bookings", body), range(64)))
    won = [answer for answer in answers if answer.status == 201]
    lost = [answer for answer in answers if answer.status == 409]
    assert len(won) == 1 and len(lost) == 63, sorted(a.status for a in answers)
    assert {answer["code"] for answer in lost} == {"BOOKING_CONFLICT"}
    held = [b for buyer in buyers for b in buyer.client.get(f"/v1/bookings?listing_id={trade.listing['id']}").body.get("data", [])
            if b["window"] == window]
    assert len(held) == 1


def test_stale_version_and_missing_etag(world, trade):
    listing = trade.provider.client.get(f"/v1/listings/{trade.listing['id']}")
    body = world.listing_body(trade.listing["resource_id"])
    assert trade.provider.client.refuse("PUT", f"/v1/listings/{trade.listing['id']}", body).code == "ETAG_REQUIRED"
    stale = trade.provider.client.refuse("PUT", f"/v1/listings/{trade.listing['id']}", body, headers={"If-Match": '"99999"'})
    assert (stale.status, stale.code) == (412, "ETAG_MISMATCH")
    assert trade.provider.client.get(f"/v1/listings/{trade.listing['id']}").etag == listing.etag


@pytest.mark.parametrize("path, status, code", [
    ("/v1/nothing", 404, "NO_SUCH_ROUTE"), ("/v1/bookings?page_size=many", 400, "WRONG_TYPE"),
    ("/v1/bookings?page_token=nonsense", 400, "INVALID_PAGE_TOKEN"), ("/v1/bookings?colour=red", 400, "INVALID_QUERY")])
def test_addresses_and_queries(trade, path, status, code):
    problem = trade.buyer.client.refuse("GET", path)
    assert problem.status == status and (code is None or problem.code == code), problem
    assert trade.buyer.client.refuse("PATCH", "/v1/bookings", {}).status in (404, 405)


def test_both_languages(world, trade):
    body = world.booking_body(trade.listing, world.window(start_hour=14))
    zh = trade.buyer.client.refuse("POST", "/v1/bookings", body)
    english = Client(trade.buyer.client.url, trade.buyer.secret, "en")
    en = english.refuse("POST", "/v1/bookings", body)
    assert zh.code == en.code == "OUTSIDE_CALENDAR"
    assert any("\u4e00" <= c <= "\u9fff" for c in zh.body["title"]) and any("\u4e00" <= c <= "\u9fff" for c in zh.body["detail"])
    assert en.body["title"].isascii() and "calendar" in en.body["detail"]
    for problem in (zh, en):
        text = json.dumps(problem.body, ensure_ascii=False)
        assert "{" not in problem.body["detail"] and "SELECT" not in text and ".cpp" not in text
        assert problem.body["request_id"] == problem.answer.headers.get("request-id", problem.body["request_id"])


def test_huge_body_and_wrong_media_type(trade):
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", b'{"work":"' + b"x" * (1024 * 1024) + b'"}')
    assert (problem.status, problem.code) == (413, "PAYLOAD_TOO_LARGE")
    problem = trade.buyer.client.refuse("POST", "/v1/bookings", b"<a/>", headers={"Content-Type": "text/xml"})
    assert (problem.status, problem.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
