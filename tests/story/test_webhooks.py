# SPDX-License-Identifier: Apache-2.0
"""Events reach a receiver that fails, is slow, moves away or is replaced, and nobody else's network."""
import base64
import concurrent.futures
import datetime
import time
import uuid

import pytest

from receiver import Receiver

RANDOM = "01J9ZK3V6M2E8QW4T7Y1N5R0AB"
OTHER_ADDRESSES = [
    "http://10.0.0.1/", "https://10.0.0.1/", "https://192.168.1.1:8443/x", "https://172.20.0.1/", "https://100.64.1.1/",
    "https://169.254.169.254/latest/meta-data/", "http://169.254.169.254/", "https://[fd00:ec2::254]/", "https://[fe80::1]/",
    "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://0.0.0.0/", "https://224.0.0.1/",
    "https://[::]/", "http://8.8.8.8/", "https://user:password@8.8.8.8/", "https://8.8.8.8/#x", "ftp://127.0.0.1/", "file:///etc/passwd",
    "https://no-such-name.invalid/", "https://0/", "127.0.0.1", "https:///x", "https://8.8.8.8:0/", "https://8.8.8.8:65536/"]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def owner(world):
    return world.organization("收讯企业")


def endpoint(owner, receiver, path="/hook", **more):
    return owner.client.post("/v1/webhook_endpoints", {"url": receiver.url + path, **more}).body


def make_events(world, owner, count):
    """Facts of the organization's own: the ids of `count` listings, drafted."""
    resource = world.resource(owner)["id"]
    return [owner.client.post_until_known("/v1/listings", world.listing_body(resource))["id"] for _ in range(count)]


def feed(client, after=0, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    events, token = [], ""
    while True:
        page = client.get(f"/v1/events?after_seq={after}&page_size=500&{query}" + (f"&page_token={token}" if token else "")).body
        events += page["data"]
        token = page.get("next_page_token", "")
        if not token:
            return events


def deliveries(client, **filters):
    found, token = [], ""
    while True:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        page = client.get(f"/v1/webhook_deliveries?page_size=500&{query}" + (f"&page_token={token}" if token else "")).body
        found += page["data"]
        token = page.get("next_page_token", "")
        if not token:
            return found


def test_an_event_arrives_as_the_feed_tells_it(world, owner, receiver):
    made = endpoint(owner, receiver, "/a/b?x=1", types=["listing"], description="ERP")
    assert made["state"] == "ENABLED" and len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    listing = make_events(world, owner, 1)[0]
    one = receiver.wait(lambda got: len(got) == 1)[0]
    assert one.path == "/a/b?x=1" and one.signed_by(made["secret"]) and len(one.body) < 20000
    told = owner.client.get(f"/v1/events/{one.id}").body
    assert told == one.event
    assert told["specversion"] == "1.0" and told["source"] == f"/orgs/{owner.id}" and told["datacontenttype"] == "application/json"
    assert told["time"] == told["timestamp"] and told["subject"] == f"listings/{listing}" and listing in str(told["data"])
    assert told in owner.client.get(f"/v1/events?subject=listings/{listing}").body["data"]
    assert all(name.isalnum() and name == name.lower() for name in told)  # CloudEvents: names of attributes
    log = owner.client.wait(f"/v1/webhook_deliveries?event_id={one.id}", lambda body: body["data"][0]["state"] == "SUCCEEDED").body["data"]
    assert len(log) == 1
    delivery = owner.client.get(f"/v1/webhook_deliveries/{log[0]['id']}").body
    assert [attempt["status"] for attempt in delivery["attempts"]] == [204]
    assert f"webhook-id: {one.id}" in delivery["attempts"][0]["request"] and made["secret"] not in str(delivery)
    # Shown once.
    assert owner.client.get(f"/v1/webhook_endpoints/{made['id']}")["secret"] == ""
    owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")
    make_events(world, owner, 1)
    assert owner.client.refuse("GET", f"/v1/webhook_endpoints/{made['id']}").code == "NOT_FOUND"


def test_a_failure_is_tried_again_and_a_redirect_not_followed(world, owner, receiver):
    made = endpoint(owner, receiver, types=["listing"])
    receiver.answers = [(302, {"Location": receiver.url + "/elsewhere"})]
    make_events(world, owner, 1)
    first, second = receiver.wait(lambda got: len(got) == 2, 15)  # 5 s later
    assert first.path == second.path == "/hook" and first.id == second.id and first.body == second.body
    assert first.signed_by(made["secret"]) and second.signed_by(made["secret"])
    log = owner.client.wait(f"/v1/webhook_deliveries?event_id={first.id}&endpoint_id={made['id']}",
                            lambda body: body["data"][0]["state"] == "SUCCEEDED").body["data"][0]
    assert [attempt["status"] for attempt in log["attempts"]] == [302, 204]
    owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")


def test_a_slow_receiver_holds_up_only_itself(world, owner, receiver):
    slow, quick = endpoint(owner, receiver, types=["listing"]), Receiver()
    receiver.pause = 1.0
    other = endpoint(owner, quick, types=["listing"])
    begin = time.monotonic()
    make_events(world, owner, 6)
    quick.wait(lambda got: len(got) == 6)
    assert len(receiver.got) < 6 or time.monotonic() - begin > 2
    receiver.wait(lambda got: len(got) == 6)
    quick.stop()
    for made in (slow, other):
        owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")


def test_gone_disables(world, owner, receiver):
    made = endpoint(owner, receiver, types=["listing"])
    receiver.answers = [(410, {})]
    make_events(world, owner, 1)
    got = owner.client.wait(f"/v1/webhook_endpoints/{made['id']}", lambda body: body["state"] == "DISABLED").body
    assert got["disabled_reason"] == "GONE"
    told = owner.client.wait("/v1/events?types=webhook_endpoint.disabled",
                             lambda body: any(e["subject"] == f"webhook_endpoints/{made['id']}" for e in body["data"])).body
    assert "secret" not in told["data"][0]["data"] or told["data"][0]["data"]["secret"] == ""
    # Nothing is sent meanwhile; a replay of the time brings it.
    missed = make_events(world, owner, 2)
    for id in missed:  # in the feed before the endpoint takes part again
        owner.client.wait(f"/v1/events?subject=listings/{id}", lambda body: len(body["data"]) == 1)
    assert owner.client.post(f"/v1/webhook_endpoints/{made['id']}:enable")["state"] == "ENABLED"
    events = [e for e in feed(owner.client, types="listing") if e["subject"].removeprefix("listings/") in missed]
    assert len(events) == 2
    end = datetime.datetime.fromisoformat(events[-1]["time"].replace("Z", "+00:00")) + datetime.timedelta(milliseconds=1)
    answer = owner.client.post(f"/v1/webhook_endpoints/{made['id']}:replay",
                               {"from_time": events[0]["time"], "to_time": end.isoformat()}).body
    assert answer["deliveries"] == 2 and "next_from_time" not in answer
    got = receiver.wait(lambda got: len(got) == 3)
    assert {one.id for one in got[1:]} == {event["id"] for event in events}
    # And one alone, under the id that it always had.
    one = owner.client.wait(f"/v1/webhook_deliveries?event_id={events[0]['id']}&endpoint_id={made['id']}",
                            lambda body: body["data"][0]["state"] == "SUCCEEDED").body["data"][0]
    again = owner.client.post(f"/v1/webhook_deliveries/{one['id']}:replay").body
    assert again["trigger"] == "REPLAY" and again["id"] != one["id"] and again["event_id"] == events[0]["id"]
    assert receiver.wait(lambda got: len(got) == 4)[3].id == events[0]["id"]
    owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")


def test_both_secrets_sign_during_the_rotation(world, owner, receiver):
    made = endpoint(owner, receiver, types=["nothing"])
    key = f"test-{uuid.uuid4()}"
    rotated = owner.client.post(f"/v1/webhook_endpoints/{made['id']}:rotateSecret", {}, key).body
    assert rotated["secret"] != made["secret"] and rotated["old_secret_expire_time"]
    # The answer that was lost can be asked for again.
    assert owner.client.post(f"/v1/webhook_endpoints/{made['id']}:rotateSecret", {}, key)["secret"] == rotated["secret"]
    ping = owner.client.post(f"/v1/webhook_endpoints/{made['id']}:ping").body
    one = receiver.wait(lambda got: len(got) == 1)[0]
    assert one.event["type"] == "webhook_endpoint.ping" and ping["event_id"] == one.id
    assert one.signed_by(made["secret"]) and one.signed_by(rotated["secret"])
    assert not one.signed_by("whsec_" + base64.b64encode(bytes(32)).decode())
    owner.client.wait(f"/v1/webhook_deliveries/{ping['id']}", lambda body: body["state"] == "SUCCEEDED")
    owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")


@pytest.mark.parametrize("url", OTHER_ADDRESSES)
def test_unsafe_addresses(owner, url):
    problem = owner.client.refuse("POST", "/v1/webhook_endpoints", {"url": url})
    assert (problem.status, problem.code) == (422, "UNSAFE_URL"), problem
    assert problem.body["errors"][0]["pointer"] == "#/url"


def test_others_see_nothing(world, owner, receiver):
    stranger = world.organization("旁人")
    made = endpoint(owner, receiver)
    make_events(world, owner, 1)
    receiver.wait(lambda got: len(got) >= 1)
    delivery = deliveries(owner.client, endpoint_id=made["id"])[0]
    for method, path in [("GET", f"/v1/webhook_endpoints/{made['id']}"), ("POST", f"/v1/webhook_endpoints/{made['id']}:rotateSecret"),
                         ("GET", f"/v1/webhook_deliveries/{delivery['id']}"), ("POST", f"/v1/webhook_deliveries/{delivery['id']}:replay")]:
        body = {} if method == "POST" else None
        foreign = stranger.client.refuse(method, path, body)
        nothing = stranger.client.refuse(method, path.replace(made["id"], f"whk_{RANDOM}").replace(delivery["id"], f"dlv_{RANDOM}"), body)
        assert foreign.status == nothing.status == 404 and foreign.code == nothing.code
    assert stranger.client.get("/v1/webhook_endpoints")["data"] == [] and deliveries(stranger.client) == []
    assert made["id"] in [one["id"] for one in world.operator.get("/v1/webhook_endpoints")["data"]]
    assert world.operator.get(f"/v1/webhook_deliveries/{delivery['id']}")["id"] == delivery["id"]
    etag = owner.client.get(f"/v1/webhook_endpoints/{made['id']}").etag
    assert owner.client.refuse("PUT", f"/v1/webhook_endpoints/{made['id']}", {"url": receiver.url}).code == "ETAG_REQUIRED"
    put = lambda tag: owner.client.send("PUT", f"/v1/webhook_endpoints/{made['id']}", {"url": receiver.url + "/new"},
                                        headers={"If-Match": f'"{tag}"'})
    assert put(etag).status == 200 and put(etag).status == 412
    owner.client.delete(f"/v1/webhook_endpoints/{made['id']}")


def test_killed_in_the_midst_of_deliveries_nothing_is_lost(split_world, receiver):
    """Notifications dies by kill -9 while it sends: each event arrives, and one that arrives twice has one id."""
    world = split_world
    owner = world.organization("收讯企业")
    # What happened before the endpoint was made is not owed to it, so that must be in the feed by then: grades as provider and as buyer.
    registered = ["credit.updated", "credit.updated", "organization.registered", "organization.verified"]
    owner.client.wait("/v1/events", lambda body: sorted(event["type"] for event in body["data"]) == registered)
    after = max(int(event["seq"]) for event in feed(owner.client))
    made = endpoint(owner, receiver)
    receiver.pause = 0.2
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [pool.submit(make_events, world, owner, 10) for _ in range(4)]
        for _ in range(2):
            seen = len(receiver.got)
            receiver.wait(lambda got: len(got) >= seen + 4)
            old = world.platform.pid("notifications")
            world.platform.kill("notifications")
            world.platform.wait_restarted("notifications", old)
        drafted = [id for one in work for id in one.result()]
    assert len(drafted) == 40
    owner.client.wait("/v1/webhook_deliveries?state=PENDING", lambda body: body["data"] == [], 90)
    events = [event for event in feed(owner.client, after)]
    assert {event["subject"].removeprefix("listings/") for event in events if event["type"] == "listing.created"} >= set(drafted)
    ids = [one.id for one in receiver.got]
    log = deliveries(owner.client, endpoint_id=made["id"])
    # The ledger: what the feed holds since then, what the log says and what arrived are the same events.
    logged = [one["event_id"] for one in log]
    assert len(logged) == len(set(logged)) and all(one["state"] == "SUCCEEDED" for one in log)
    assert {event["id"] for event in events} == set(logged)
    assert set(ids) == set(logged)
    assert all(one.signed_by(made["secret"]) for one in receiver.got)
