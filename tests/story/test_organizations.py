# SPDX-License-Identifier: Apache-2.0
"""What an organization says of itself, where its resources stand, and what it proves itself with."""
import hashlib
import http.client
import json
import time
import urllib.parse
import uuid

import pytest

from local_platform import Platform, make_uscc
from world import World

PDF = b"%PDF-1.7\n1 0 obj << >> endobj\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def pointers(answer):
    return [fault.get("pointer") or fault.get("parameter") for fault in answer.body.get("errors", [])]


def patch(client, path, changes, if_match="*"):
    return client.send("PATCH", path, changes, headers={
        "If-Match": if_match, "Content-Type": "application/merge-patch+json"})


def key():
    return str(uuid.uuid4())


def refused(answer):
    return answer.status, answer["code"], pointers(answer)


def send(client, content, kind="BUSINESS_LICENSE", name="营业执照.pdf", type=None, idempotency_key=None):
    query = urllib.parse.urlencode({"kind": kind, "file_name": name})
    return client.send("POST", f"/v1/documents?{query}", content, idempotency_key, headers={"Content-Type": type})


def events(client, type):
    return client.wait(f"/v1/events?types={type}", lambda body: body["data"]).body["data"]


def test_an_organization_corrects_itself_and_its_legal_facts_stay(world):
    firm = world.organization("示例改名", verify=False)
    path = f"/v1/organizations/{firm.id}"
    read = firm.client.get(path)
    assert "update" in [action["action"] for action in read["actions"]]
    uscc = make_uscc(uuid.uuid4().int)
    changed = patch(firm.client, path, {"display_name": "示例改名二", "uscc": uscc, "metadata": {"erp": "k3"}}, read.headers["etag"])
    assert changed.status == 200, changed.raw
    assert (changed["display_name"], changed["uscc"], changed["metadata"]) == ("示例改名二", uscc, {"erp": "k3"})
    assert changed["industry_code"] == read["industry_code"]
    stale = patch(firm.client, path, {"region_code": "320500"}, read.headers["etag"])
    assert (stale.status, stale["code"]) == (412, "ETAG_MISMATCH")
    assert firm.client.send("PUT", path, changed.body, headers={"If-Match": "*"}).status == 200, "as GET gave it"
    assert refused(patch(firm.client, path, {"uscc": uscc[:-1] + ("0" if uscc[-1] != "0" else "1")})) == (
        422, "USCC_CHECK_DIGIT", ["#/uscc"])

    world.operator.post(f"{path}:verify")
    assert patch(firm.client, path, {"region_code": "320500", "external_id": f"erp-{uscc}"}).status == 200
    assert refused(patch(firm.client, path, {"display_name": "示例改名三"})) == (422, "IMMUTABLE_FIELD", ["#/display_name"])
    both = patch(firm.client, path, {"display_name": "示例改名三", "uscc": make_uscc(uuid.uuid4().int), "synthetic": False})
    assert sorted(pointers(both)) == ["#/display_name", "#/synthetic", "#/uscc"]
    assert patch(world.operator, path, {"display_name": "示例改名三"})["display_name"] == "示例改名三"
    assert refused(patch(world.operator, path, {"uscc": make_uscc(uuid.uuid4().int)}))[:2] == (422, "IMMUTABLE_FIELD")
    names = [event["data"]["display_name"] for event in events(firm.client, "organization.changed")]
    assert names[0] == "示例改名三" and names[-1] == "示例改名二"
    world.operator.wait("/v1/audit_log", lambda body: any(
        entry["method"].endswith(".UpdateOrganization") and entry["subject"] == firm.id for entry in body["data"]))

    other = world.organization("示例旁人")
    nobody = "org_01JZZZZZZZ" + uuid.uuid4().hex[:16].upper()
    for id in (firm.id, nobody):
        assert refused(patch(other.client, f"/v1/organizations/{id}", {"region_code": "320500"}))[:2] == (404, "NOT_FOUND")
        body = {name: changed[name] for name in ("display_name", "uscc")}
        answer = other.client.send("PUT", f"/v1/organizations/{id}", body, headers={"If-Match": "*"})
        assert (answer.status, answer["code"]) == (404, "NOT_FOUND")
    world.operator.post(f"{path}:suspend", {"reason": "示例"})
    assert patch(firm.client, path, {"region_code": "320583"})["state"] == "SUSPENDED"


def test_resources_move_with_their_site_and_outlive_it(world):
    firm = world.organization("示例搬迁")
    site = firm.client.post("/v1/sites", {
        "display_name": "一号厂房", "external_id": "plant-1", "place": {"longitude": 120.6, "latitude": 31.3}})
    resource = firm.client.post("/v1/resources", {
        "kind": "EQUIPMENT", "display_name": {"zh": "五轴加工中心"}, "site_id": site["id"],
        "attributes": {"equipment": {"axes": 5}}})
    assert resource["place"]["longitude"] == 120.6
    draft = firm.client.post("/v1/listings", world.listing_body(resource["id"]))
    listing = firm.client.post(f"/v1/listings/{draft['id']}:publish")
    place = f"/v1/sites/{site['id']}"
    moved = patch(firm.client, place, {"place": {"longitude": 121.4}}, site.headers["etag"])
    assert moved.status == 200 and moved["place"]["longitude"] == 121.4 and moved["place"]["latitude"] == 31.3, moved.raw
    firm.client.wait(f"/v1/resources/{resource['id']}", lambda body: body["place"]["longitude"] == 121.4)
    assert int(firm.client.get(f"/v1/listings/{listing['id']}")["version"]) == int(listing["version"]) + 1
    assert refused(patch(firm.client, place, {"place": {"longitude": 200}}))[0] == 422

    stranger = world.organization("示例旁人")
    for id in (site["id"], "sit_01JZZZZZZZ" + uuid.uuid4().hex[:16].upper()):
        assert refused(patch(stranger.client, f"/v1/sites/{id}", {"display_name": "x"}))[:2] == (404, "NOT_FOUND")
        assert stranger.client.refuse("DELETE", f"/v1/sites/{id}", headers={"If-Match": "*"}).code == "NOT_FOUND"
    assert firm.client.refuse("DELETE", place).code == "ETAG_REQUIRED"
    assert firm.client.refuse("DELETE", place, headers={"If-Match": site.headers["etag"]}).code == "ETAG_MISMATCH"
    assert firm.client.delete(place, moved).body == {}
    assert firm.client.refuse("GET", place).code == "NOT_FOUND"
    assert firm.client.post("/v1/sites", {
        "display_name": "新厂房", "external_id": "plant-1", "place": {"longitude": 120.7, "latitude": 31.3}}).status == 201

    # What stands there keeps its position and can be changed; nothing new can stand there.
    kept = patch(firm.client, f"/v1/resources/{resource['id']}", {"model": "DMU 50"})
    assert kept.status == 200 and kept["place"]["longitude"] == 121.4 and kept["site_id"] == site["id"], kept.raw
    fresh = firm.client.refuse("POST", "/v1/resources", {
        "kind": "EQUIPMENT", "display_name": {"zh": "车床"}, "site_id": site["id"], "attributes": {"equipment": {"axes": 3}}})
    assert fresh.code == "NOT_FOUND" and pointers(fresh) == ["#/site_id"]
    assert world.book(world.organization("示例买方"), firm.client.get(f"/v1/listings/{listing['id']}").body, world.window())["id"]
    told = [event["type"] for event in firm.client.get("/v1/events?page_size=100")["data"] if event["type"].startswith("site.")]
    assert sorted(told) == ["site.changed", "site.created", "site.created", "site.deleted"]


def test_documents_are_seen_by_their_organization_and_the_operator(world):
    firm, other = world.organization("示例材料", verify=False), world.organization("示例旁人")
    same = key()
    sent = send(firm.client, PDF, idempotency_key=same, type="application/pdf")
    assert sent.status == 201, sent.raw
    assert (sent["kind"], sent["file_name"], sent["content_type"]) == ("BUSINESS_LICENSE", "营业执照.pdf", "application/pdf")
    assert sent["sha256"] == hashlib.sha256(PDF).hexdigest() and int(sent["size"]) == len(PDF)
    assert sent.headers["location"] == f"/v1/documents/{sent['id']}"
    again = send(firm.client, PDF, idempotency_key=same, type="application/pdf")
    assert again.replayed and again.raw == sent.raw
    assert send(firm.client, PNG, idempotency_key=same, type="image/png")["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert [document["id"] for document in firm.client.get("/v1/documents")["data"]] == [sent["id"]]

    path = f"/v1/documents/{sent['id']}"
    assert firm.client.get(path).body == sent.body
    for reader in (firm.client, world.operator):
        content = reader.send("GET", f"{path}/content")
        assert content.status == 200 and content.raw == PDF
        assert content.headers["content-type"] == "application/pdf"
        assert content.headers["content-disposition"] == "attachment"
        assert content.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in content.headers["content-security-policy"]
    looks = world.operator.wait("/v1/audit_log", lambda body: len([
        entry for entry in body["data"] if entry["method"].endswith(".GetDocumentContent") and entry["subject"] == sent["id"]]) == 2)
    assert looks["data"][0]["roles"] == ["admin", "operator"]
    assert [d["id"] for d in world.operator.get(f"/v1/documents?organization_id={firm.id}")["data"]] == [sent["id"]]

    # For everybody else it is not there; a key without the role admin does not even ask.
    nobody = "doc_01JZZZZZZZ" + uuid.uuid4().hex[:16].upper()
    for method, tail in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answers = []
        for id in (sent["id"], nobody):
            problem = other.client.refuse(method, f"/v1/documents/{id}{tail}", headers={"If-Match": "*"}).body
            answers.append({k: v for k, v in problem.items() if k not in ("request_id", "instance")})
        assert answers[0] == answers[1] and answers[0]["status"] == 404, answers
    assert other.client.get("/v1/documents").body.get("data", []) == []
    assert other.client.refuse("GET", f"/v1/documents?organization_id={firm.id}").code == "NOT_FOUND"
    plain = world.platform.client(firm.client.post("/v1/api_keys", {"display_name": "no admin"})["secret"])
    for tail in ("", f"/{sent['id']}", f"/{sent['id']}/content"):
        assert plain.refuse("GET", f"/v1/documents{tail}").code == "INSUFFICIENT_SCOPE"
    assert "document" not in json.dumps(firm.client.get("/v1/events?page_size=100").body)

    second = send(firm.client, PNG, "OTHER", "章.png", "application/octet-stream")
    assert second["content_type"] == "image/png"
    assert firm.client.refuse("DELETE", f"/v1/documents/{second['id']}").code == "ETAG_REQUIRED"
    assert firm.client.delete(f"/v1/documents/{second['id']}", second).body == {}
    assert firm.client.refuse("GET", f"/v1/documents/{second['id']}/content").code == "NOT_FOUND"
    digest = second["sha256"]
    file = world.platform.data / "documents" / digest[:2] / digest
    end = time.monotonic() + 10
    while file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not file.exists(), "removed with its bytes"
    world.operator.post(f"/v1/organizations/{firm.id}:verify")
    assert firm.client.refuse("DELETE", path, headers={"If-Match": "*"}).code == "STATE_CONFLICT"


def test_documents_that_are_none(world):
    firm = world.organization("示例材料", verify=False)
    for content, type in ((b"<html><script>alert(1)</script>", "application/pdf"), (PNG, "image/jpeg"), (PDF, "text/html"),
                          (b"GIF89a" + bytes(32), "image/gif"), (b"%PD", "application/pdf")):
        answer = send(firm.client, content, type=type)
        assert (answer.status, answer["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE"), answer.raw
        assert pointers(answer) == ["#"], answer.raw
    for name in ("../a.pdf", "a\\b.pdf", "a\nb.pdf", ".."):
        answer = send(firm.client, PDF, name=name, type="application/pdf")
        assert (answer.status, answer["code"]) == (422, "INVALID_FORMAT"), answer.raw
        assert pointers(answer) == ["file_name"], answer.raw
    for query in ("", "kind=BUSINESS_LICENSE", "file_name=a.pdf", "kind=PASSPORT&file_name=a.pdf", "kind=OTHER&file_name="):
        answer = firm.client.send("POST", f"/v1/documents?{query}", PDF, headers={"Content-Type": "application/pdf"})
        assert answer.status == 400, (query, answer.raw)
    assert send(firm.client, PDF, name="长" * 201, type="application/pdf")["code"] == "TOO_LONG"
    assert send(firm.client, b"", type="application/pdf").status == 400
    # Refused by its length, before a byte of it is there.
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(firm.client.url).netloc, timeout=20)
    connection.putrequest("POST", "/v1/documents?kind=OTHER&file_name=a.pdf")
    for header in {"Authorization": f"Bearer {firm.secret}", "Idempotency-Key": key(), "Content-Type": "application/pdf",
                   "Content-Length": 5 * 1024 * 1024 + 1}.items():
        connection.putheader(*map(str, header))
    connection.endheaders()
    answer = connection.getresponse()
    problem = json.loads(answer.read())
    assert (answer.status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE") and str(5 * 1024 * 1024) in problem["detail"]
    connection.close()
    assert firm.client.get("/v1/documents").body.get("data", []) == []


@pytest.fixture(scope="module")
def strict_world():
    """An instance that verifies nobody without two documents."""
    started = Platform(settings={"verification_documents": "BUSINESS_LICENSE,AUTHORIZATION_LETTER"})
    yield World(started)
    started.stop()


def test_nobody_is_verified_without_what_the_instance_asks_for(strict_world):
    firm = strict_world.organization("示例材料", verify=False)
    path = f"/v1/organizations/{firm.id}:verify"
    problem = strict_world.operator.refuse("POST", path)
    assert (problem.status, problem.code) == (409, "DOCUMENTS_MISSING")
    assert "AUTHORIZATION_LETTER, BUSINESS_LICENSE" in problem.body["detail"], problem.body
    assert send(firm.client, PDF, type="application/pdf").status == 201
    problem = strict_world.operator.refuse("POST", path)
    assert "AUTHORIZATION_LETTER" in problem.body["detail"] and "BUSINESS_LICENSE" not in problem.body["detail"]
    assert send(firm.client, PNG, "AUTHORIZATION_LETTER", "授权书.png", "image/png").status == 201
    assert strict_world.operator.post(path)["state"] == "VERIFIED"
