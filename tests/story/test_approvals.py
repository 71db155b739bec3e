# SPDX-License-Identifier: Apache-2.0
"""Two persons for what one alone may not do, in both shapes: asked for, approved, done once, and every other order refused."""
import concurrent.futures
import datetime
import json
import uuid

import pytest

from world import World, parse

REJECT = "millrace.identity.v1.Identity.RejectOrganization"
ISSUE = "millrace.identity.v1.Identity.IssueOrganizationApiKey"


class Office:
    """The operator with three persons of its own; anna asks, bert approves."""

    def __init__(self, platform):
        self.world = World(platform)
        self.key = self.world.operator  # the built-in one, which is no person's
        self.anna, self.bert, self.carl = (self.world.officer(name) for name in ("anna", "bert", "carl"))

    def ask(self, method, request, person=None):
        return (person or self.anna).post("/v1/approvals", {
            "method": method, "request": json.dumps(request), "reason": "as agreed on the phone"}).body

    def approved(self, method, request):
        asked = self.ask(method, request)
        return self.bert.post(f"/v1/approvals/{asked['id']}:approve", {"reason": "seen"}).body

    def state(self, id):
        return self.key.get(f"/v1/approvals/{id}")["state"]


@pytest.fixture(scope="module", params=["platform", "split_platform"], ids=["one process", "every service apart"])
def office(request):
    return Office(request.getfixturevalue(request.param))


def test_one_asks_another_approves_the_first_does_it(office):
    firm = office.world.organization("示例空壳", verify=False)
    path, body = f"/v1/organizations/{firm.id}:reject", {"reason": "shell company"}
    for client in (office.key, office.anna):
        alone = client.refuse("POST", path, body)
        assert (alone.status, alone.code) == (403, "APPROVAL_REQUIRED")
        assert REJECT in alone.body["detail"] and "/v1/approvals" in alone.body["detail"] and "Idempotency-Key" in alone.body["detail"]
    wanted = {"method": REJECT, "request": json.dumps({"id": firm.id, **body}), "reason": "as agreed"}
    assert office.key.refuse("POST", "/v1/approvals", wanted).code == "MEMBER_REQUIRED"
    assert firm.client.refuse("POST", "/v1/approvals", wanted).code == "INSUFFICIENT_SCOPE"
    wrong = office.anna.refuse("POST", "/v1/approvals", {**wanted, "request": json.dumps({"id": firm.id, "why": "x"})})
    assert (wrong.status, wrong.code, wrong.body["errors"][0]["pointer"]) == (400, "UNKNOWN_FIELD", "#/request/why")
    plain = office.anna.refuse("POST", "/v1/approvals", {**wanted, "method": REJECT.replace("Reject", "Verify")})
    assert (plain.status, plain.code) == (422, "UNKNOWN_METHOD") and ISSUE in plain.body["detail"]

    asked = office.ask(REJECT, {"id": firm.id, **body})
    id = asked["id"]
    assert asked["state"] == "REQUESTED" and json.loads(asked["request"]) == {"id": firm.id, **body}
    early = office.anna.refuse("POST", path, body, id)
    assert (early.status, early.code) == (409, "APPROVAL_NOT_GIVEN") and "REQUESTED" in early.body["detail"]
    assert office.anna.refuse("POST", f"/v1/approvals/{id}:approve").code == "SAME_PERSON"
    assert office.key.refuse("POST", f"/v1/approvals/{id}:approve").code == "MEMBER_REQUIRED"
    assert firm.client.refuse("GET", f"/v1/approvals/{id}").code == "INSUFFICIENT_SCOPE"
    approved = office.bert.post(f"/v1/approvals/{id}:approve").body
    assert approved["state"] == "APPROVED"
    assert office.carl.refuse("POST", f"/v1/approvals/{id}:approve").code == "STATE_CONFLICT"

    for client, changed, differs in ((office.bert, body, "person"), (office.carl, body, "person"),
                                     (office.anna, {"reason": "another reason"}, "content")):
        other = client.refuse("POST", path, changed, id)
        assert (other.status, other.code) == (403, "APPROVAL_MISMATCH") and differs in other.body["detail"]
    assert office.anna.refuse("POST", path + "?validate_only=true", body).code == "APPROVAL_REQUIRED"
    assert office.anna.post(path + "?validate_only=true", body, id)["state"] == "REJECTED"
    assert office.key.get(f"/v1/organizations/{firm.id}")["state"] == "PENDING"

    done = office.anna.post(path, body, id)
    assert done["state"] == "REJECTED" and not done.replayed
    again = office.anna.post(path, body, id)
    assert again.body == done.body and again.replayed
    office.key.wait(f"/v1/approvals/{id}", lambda approval: approval["state"] == "USED")
    assert office.anna.post(path, body, id).body == done.body
    assert office.bert.refuse("POST", f"/v1/approvals/{id}:decline", {"reason": "late"}).code == "STATE_CONFLICT"

    entry = office.key.wait("/v1/audit_log", lambda page: any(e["approval_id"] == id for e in page["data"])).body
    entry = next(e for e in entry["data"] if e["approval_id"] == id)
    assert entry["method"] == REJECT and entry["subject"] == firm.id and entry["member_id"] == asked["requester_id"]
    assert office.key.post("/v1/audit_log:verify")["passed"] is True
    heard = lambda page: {e["type"] for e in page["data"] if e["subject"] == f"approvals/{id}"}
    office.key.wait("/v1/events?page_size=100", lambda page: heard(page) == {
        "approval.requested", "approval.approved", "approval.used"})


def test_declined_and_withdrawn_ones_open_nothing(office):
    firm = office.world.organization("示例再问", verify=False)
    path, body = f"/v1/organizations/{firm.id}:reject", {"reason": "unreadable"}
    declined, withdrawn = (office.ask(REJECT, {"id": firm.id, **body})["id"] for _ in range(2))
    assert office.bert.refuse("POST", f"/v1/approvals/{declined}:decline").code == "REQUIRED"
    office.bert.post(f"/v1/approvals/{declined}:decline", {"reason": "ask them for a better copy"})
    assert office.bert.refuse("POST", f"/v1/approvals/{withdrawn}:withdraw").code == "INSUFFICIENT_SCOPE"
    office.anna.post(f"/v1/approvals/{withdrawn}:withdraw")
    for id, state in ((declined, "DECLINED"), (withdrawn, "WITHDRAWN")):
        assert office.bert.refuse("POST", f"/v1/approvals/{id}:approve").code == "STATE_CONFLICT"
        refused = office.anna.refuse("POST", path, body, id)
        assert refused.code == "APPROVAL_NOT_GIVEN" and state in refused.body["detail"]
    listed = office.key.get("/v1/approvals?state=DECLINED").body["data"]
    assert declined in [one["id"] for one in listed] and withdrawn not in [one["id"] for one in listed]
    assert office.anna.post(f"/v1/organizations/{firm.id}:verify")["state"] == "VERIFIED", "other commands take one person"


def test_two_clients_at_once_make_one_key(office):
    firm = office.world.organization("示例丢钥匙")
    key = {"display_name": "lost theirs", "roles": ["buyer"]}
    id = office.approved(ISSUE, {"organization_id": firm.id, "api_key": key})["id"]
    path = f"/v1/organizations/{firm.id}/api_keys"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: office.anna.post_until_known(path, key, id), range(8)))
    made = [answer.body for answer in answers]
    assert [answer.replayed for answer in answers].count(False) == 1 and "location" not in answers[0].headers
    assert len({one["id"] for one in made}) == len({one["secret"] for one in made}) == 1
    assert [one["display_name"] for one in firm.client.get("/v1/api_keys").body["data"]].count("lost theirs") == 1
    assert office.world.platform.client(made[0]["secret"]).get("/v1/me")["organization"]["id"] == firm.id
    office.key.wait(f"/v1/approvals/{id}", lambda approval: approval["state"] == "USED")


def test_everything_ends_in_time(office):
    firm, other = (office.world.organization(name, verify=False) for name in ("示例过期", "示例用过"))
    body = {"reason": "no answer"}
    asked = office.ask(REJECT, {"id": firm.id, **body})["id"]
    given = office.approved(REJECT, {"id": firm.id, **body})["id"]
    used = office.approved(REJECT, {"id": other.id, **body})["id"]
    done = office.anna.post(f"/v1/organizations/{other.id}:reject", body, used)
    office.key.wait(f"/v1/approvals/{used}", lambda approval: approval["state"] == "USED")
    office.world.advance(office.world.now() + datetime.timedelta(hours=25))
    assert [office.state(id) for id in (asked, given, used)] == ["EXPIRED", "EXPIRED", "USED"]
    late = office.bert.refuse("POST", f"/v1/approvals/{asked}:approve")
    assert (late.status, late.code) == (409, "APPROVAL_EXPIRED")
    for id in (asked, given):
        assert office.anna.refuse("POST", f"/v1/organizations/{firm.id}:reject", body, id).code == "APPROVAL_EXPIRED"
    assert office.anna.post(f"/v1/organizations/{other.id}:reject", body, used).body == done.body
    assert office.key.get(f"/v1/organizations/{firm.id}")["state"] == "PENDING"
    ended = office.key.get(f"/v1/approvals/{given}").body
    assert parse(ended["expire_time"]) - parse(ended["decide_time"]) == datetime.timedelta(hours=24)
