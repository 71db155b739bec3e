# SPDX-License-Identifier: Apache-2.0
"""Times at the ends of what the wire has, and beyond: every route that takes a time refuses or keeps it, and none fails."""
import concurrent.futures
import datetime

import pytest

from contract import Contract, put
from estate import Estate

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
EXTREME = [
    FIRST, "0001-01-01T00:00:00.000001Z", "0001-01-10T00:00:00Z", "0001-01-15T23:59:59Z", "0001-01-16T00:00:00Z", "0001-12-31T23:59:59Z",
    "1582-10-15T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2106-02-07T06:28:16Z",
    "2262-04-11T23:47:17Z", "3000-02-28T00:00:00Z", "8999-12-31T00:00:00Z", "9999-12-16T00:00:00Z", "9999-12-17T00:00:00Z",
    "9999-12-31T00:00:00Z", "9999-12-31T16:00:00+00:00", LAST,
    # The local date is there, the instant is not.
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59-23:59",
    # No date, or none that is written so.
    "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
    "2026-06-30T23:59:60Z", "2026-10-01T24:00:00Z", "2026-10-01T00:00:00+24:00", "2026-10-01T00:00:00.1234567890Z",
    "2026-10-01T00:00:00Z[Asia/Shanghai]", "275760-09-13T00:00:00Z", "infinity", "-infinity", "now", "epoch", "1767225600"]
NO_INSTANT = EXTREME[EXTREME.index(LAST) + 1:]


@pytest.fixture(scope="module")
def contract(world):
    return Contract(world.platform.client().get("/openapi.json").body)


@pytest.fixture(scope="module")
def estate(world):
    return Estate(world)


def takes_times(contract, route):
    """Paths of the times that a body may have."""
    schema = contract.route(route.name.replace("Patch", "Update")).schema if route.method == "PATCH" else route.schema
    if not schema:
        return []
    return [path for path, node, read_only in contract.fields(schema) if not read_only and node.get("format") == "date-time"]


def test_every_time_of_every_route(contract, estate):
    def send(route, path, time):
        # The clock that moved for good would harm the other stories; what is checked is the same.
        query = "?validate_only=true" if route.name == "AdvanceClock" else ""
        answer = estate.party(route).send(route.method, route.at(estate.ids.get(route.noun, "")) + query, put(bodies[route.name], path, time),
                                          headers={"Content-Type": route.media_type, "If-Match": "*"})
        assert answer.status < 500, (route, path, time, answer.body)
        if time in NO_INSTANT:
            assert answer.status in (400, 422), (route, path, time, answer.body)
        return answer.status < 300

    bodies = {route.name: estate.valid(route) for route in contract.routes if takes_times(contract, route)}
    wishes = [(route, path, time) for route in contract.routes for path in takes_times(contract, route) for time in EXTREME]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        kept = sum(pool.map(lambda wish: send(*wish), wishes))
    assert len(wishes) >= 300 and kept > 0, (len(wishes), kept)


def spans():
    """Windows at both ends of the years, from a microsecond to all of it."""
    for start, end in [(FIRST, LAST), (FIRST, "0001-01-01T00:00:00.000001Z"), ("0001-01-01T01:00:00Z", "0001-01-01T05:00:00Z"),
                       ("0001-01-14T00:00:00Z", "0001-01-17T00:00:00Z"), ("9999-12-31T01:00:00Z", "9999-12-31T05:00:00Z"),
                       ("9999-12-15T01:00:00Z", "9999-12-15T05:00:00Z"), ("9999-12-31T23:59:59Z", LAST), ("2026-01-01T00:00:00Z", LAST),
                       (FIRST, "2027-01-01T00:00:00Z"), ("2126-12-31T01:00:00Z", "2126-12-31T05:00:00Z"),
                       ("2300-01-01T01:00:00Z", "2300-01-01T05:00:00Z"), (LAST, FIRST), (FIRST, FIRST), (LAST, LAST)]:
        yield {"start_time": start, "end_time": end}


def test_windows_at_the_ends_of_the_years(world, contract, estate):
    """A booking and a demand lie ahead, by a hundred years at most; a price and an exception of the calendar may be of any time."""
    firm, buyer = estate.firm.client, estate.buyer.client
    for window in spans():
        booked = buyer.send("POST", "/v1/bookings", {"listing_id": estate.listing["id"], "window": window})
        assert 400 <= booked.status < 500, (window, booked.body)
        pointers = [fault["pointer"] for fault in booked["errors"]]
        assert pointers and all(one.startswith("#/window") for one in pointers), (window, booked.body)
        demand = firm.send("POST", "/v1/demands", put(estate.demand_body(), ("requirement", "window"), window))
        assert demand.status < 500, (window, demand.body)
        if demand.status == 201:
            assert firm.send("POST", f"/v1/demands/{demand['id']}:match", {}).status == 200, window
        assert firm.send("POST", f"/v1/listings/{estate.listing['id']}:price", {"window": window}).status < 500, window
        calendar = {**world.listing_body("")["calendar"], "exceptions": [{"window": window}, {"window": window, "open": True}]}
        listing = {**world.listing_body(estate.draft["resource_id"]), "calendar": calendar}
        answer = firm.send("PUT", f"/v1/listings/{estate.draft['id']}", listing, headers={"If-Match": "*"})
        assert answer.status in (200, 400, 422), (window, answer.body)
    # What is offered instead of a window that is not free lies in the years too.
    far = world.window(days=36000, start_hour=20)
    refused = buyer.refuse("POST", "/v1/bookings", {"listing_id": estate.listing["id"], "window": far})
    assert refused.code == "OUTSIDE_CALENDAR" and len(refused.body["alternatives"]) > 0


def test_a_listing_that_is_open_at_the_ends_of_the_years_matches_nobody_there(world, estate):
    listing = world.listing_body(world.resource(estate.firm)["id"])
    listing["calendar"] = {"time_zone": "Pacific/Kiritimati", "exceptions": [
        {"window": {"start_time": FIRST, "end_time": "0002-01-01T00:00:00Z"}, "open": True},
        {"window": {"start_time": "9998-01-01T00:00:00Z", "end_time": LAST}, "open": True}]}
    made = estate.firm.client.post("/v1/listings", listing)
    made = estate.firm.client.post(f"/v1/listings/{made['id']}:publish").body
    for window in spans():
        booked = estate.buyer.client.send("POST", "/v1/bookings", {"listing_id": made["id"], "window": window})
        assert 400 <= booked.status < 500, (window, booked.body)
    near = estate.buyer.client.post("/v1/demands", estate.demand_body())
    assert estate.buyer.client.send("POST", f"/v1/demands/{near['id']}:match", {"limit": 50}).status == 200


def test_the_clock_stays_within_the_years(world):
    for time in ("9000-01-01T00:00:01Z", "9999-12-31T23:59:59Z", LAST):
        refused = world.operator.refuse("POST", "/v1/clock:advance", {"to_time": time})
        assert (refused.status, refused.code) == (422, "OUT_OF_RANGE"), refused
    for time in (FIRST, "2020-01-01T00:00:00Z"):
        assert world.operator.refuse("POST", "/v1/clock:advance", {"to_time": time}).code == "CLOCK_NOT_ADJUSTABLE"
    assert abs(world.now() - world.now()) < datetime.timedelta(seconds=10)


def test_times_in_a_query(contract, estate):
    for route in contract.routes:
        for parameter in route.query:
            if contract.resolve(parameter.get("schema", {})).get("format") != "date-time":
                continue
            for time in EXTREME:
                answer = estate.firm.client.send("GET", f"{route.path}?{parameter['name']}={time.replace('+', '%2B')}")
                assert answer.status < 500, (route, time, answer.body)
