# SPDX-License-Identifier: Apache-2.0
"""Who may do what: scopes, rotation, OAuth clients, the audit log, and that others' objects are not there."""
import base64
import hmac
import json
import re
import subprocess
import time
import urllib.parse
import uuid

import pytest


@pytest.fixture(scope="module")
def firm(world):
    return world.organization("示例钥匙")


@pytest.fixture(scope="module")
def other(world):
    return world.organization("示例旁人")


def key(firm, **body):
    return firm.client.post("/v1/api_keys", {"display_name": "story", **body}).body


def token(world, form, **headers):
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return world.platform.client().send("POST", "/oauth2/token", urllib.parse.urlencode(form).encode(), headers=headers)


def test_a_scoped_key_does_what_it_may(world, firm):
    made = key(firm, scopes=["sites:read", "organizations:*"])
    client = world.platform.client(made["secret"])
    assert client.get("/v1/sites").status == 200
    refused = client.refuse("POST", "/v1/sites", {})
    assert (refused.status, refused.code) == (403, "INSUFFICIENT_SCOPE")
    assert "sites:write" in refused.body["detail"]
    assert client.refuse("GET", "/v1/stream").code == "INSUFFICIENT_SCOPE"
    unknown = firm.client.refuse("POST", "/v1/api_keys", {"display_name": "x", "scopes": ["sites:read", "site:read"]})
    assert (unknown.status, unknown.code) == (422, "UNKNOWN_SCOPE")
    # It has no admin role: only where that is asked for.
    assert "admin" not in made["roles"]


def test_a_rotated_secret_lives_on_for_the_overlap(world, firm):
    made = key(firm, roles=["buyer"])
    rotated = firm.client.post(f"/v1/api_keys/{made['id']}:rotate").body
    assert rotated["secret"] != made["secret"] and rotated["secret_version"] == 2
    for secret in (made["secret"], rotated["secret"]):
        assert world.platform.client(secret).get("/v1/me")["api_key_id"] == made["id"]
    last = firm.client.post(f"/v1/api_keys/{made['id']}:rotate", {"overlap_seconds": 0}).body
    assert world.platform.client(last["secret"]).get("/v1/me").status == 200
    end = time.monotonic() + 8  # at every gateway within 5 s
    while world.platform.client(rotated["secret"]).send("GET", "/v1/me").status == 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert world.platform.client(rotated["secret"]).refuse("GET", "/v1/me").code == "UNAUTHENTICATED"


def test_an_oauth_client_gets_a_token(world, firm):
    made = key(firm, scopes=["sites:read", "me:read"])
    basic = base64.b64encode(f"{made['id']}:{made['secret']}".encode()).decode()
    for answer in (token(world, {"grant_type": "client_credentials"}, Authorization="Basic " + basic),
                   token(world, {"grant_type": "client_credentials", "client_id": made["id"],
                                 "client_secret": made["secret"], "scope": "me:read"})):
        assert answer.status == 200, answer.raw
        assert answer.headers["cache-control"] == "no-store"
        assert answer["token_type"] == "Bearer" and answer["expires_in"] == 3600
        me = world.platform.client(answer["access_token"]).get("/v1/me")
        assert me["api_key_id"] == made["id"] and me["scopes"] == sorted(answer["scope"].split())
    narrow = world.platform.client(answer["access_token"])
    assert narrow.refuse("GET", "/v1/sites").code == "INSUFFICIENT_SCOPE"
    wider = token(world, {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"],
                          "scope": "sites:write"})
    assert (wider.status, wider["error"]) == (400, "invalid_scope")
    wrong = token(world, {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": "guess"})
    assert (wrong.status, wrong["error"]) == (401, "invalid_client")
    firm.client.call("DELETE", f"/v1/api_keys/{made['id']}", headers={"If-Match": "*"})
    end = time.monotonic() + 8
    while narrow.send("GET", "/v1/me").status == 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert narrow.refuse("GET", "/v1/me").code == "UNAUTHENTICATED"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def rsa_key(path):
    """A key pair's public half as a JSON web key."""
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    modulus = openssl("rsa", "-in", path, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
    return {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB", "kid": "story"}


def assertion(path, client_id, audience, header={}, **claims):
    now = int(time.time())
    head = {"alg": "RS256", "kid": "story", **header}
    body = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4()), **claims}
    signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())
    match head["alg"]:
        case "none": signature = b""
        case "HS256":  # the public key, which everyone knows, taken for a shared secret
            public = openssl("pkey", "-in", path, "-pubout")
            signature = hmac.new(public, signed.encode(), "sha256").digest()
        case _: signature = openssl("dgst", "-sha256", "-sign", path, data=signed.encode())
    return signed + "." + b64(signature)


def test_a_client_signs_instead_of_sending_a_secret(world, firm, tmp_path):
    path = str(tmp_path / "key.pem")
    made = key(firm, scopes=["me:read"], public_keys=[rsa_key(path)])
    endpoint = world.platform.client().get("/.well-known/oauth-authorization-server")["token_endpoint"]

    def ask(text):
        return token(world, {"grant_type": "client_credentials", "client_assertion": text,
                             "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"})

    good = assertion(path, made["id"], endpoint)
    answer = ask(good)
    assert answer.status == 200, answer.raw
    assert world.platform.client(answer["access_token"]).get("/v1/me")["api_key_id"] == made["id"]
    now = int(time.time())
    rsa_key(stranger := str(tmp_path / "stranger.pem"))
    for wrong in (good,  # a second time
                  assertion(stranger, made["id"], endpoint),
                  assertion(path, made["id"], endpoint, {"alg": "none"}),
                  assertion(path, made["id"], endpoint, {"alg": "HS256"}),
                  assertion(path, made["id"], endpoint, {"kid": "another"}),
                  assertion(path, made["id"], endpoint, {"jku": "https://keys.example/set"}),
                  assertion(path, made["id"], endpoint, {"x5u": "https://keys.example/chain"}),
                  assertion(path, made["id"], "https://another.example/oauth2/token"),
                  assertion(path, made["id"], endpoint, iss="https://another.example"),
                  assertion(path, made["id"], endpoint, exp=now - 3600),
                  assertion(path, made["id"], endpoint, nbf=now + 3600),
                  assertion(path, made["id"], [endpoint, "https://another.example"]),
                  good.rsplit(".", 1)[0] + "."):
        refused = ask(wrong)
        assert (refused.status, refused["error"]) == (401, "invalid_client"), wrong


def test_metadata_leads_a_client_to_the_token_endpoint(world):
    nobody = world.platform.client()
    challenge = nobody.send("GET", "/v1/me").headers["www-authenticate"]
    url = re.search(r'resource_metadata="([^"]+)"', challenge).group(1)
    resource = nobody.get(urllib.parse.urlsplit(url).path)
    server = nobody.get("/.well-known/oauth-authorization-server")
    assert resource["authorization_servers"] == [server["issuer"]]
    assert "private_key_jwt" in server["token_endpoint_auth_methods_supported"]
    assert "bookings:write" in server["scopes_supported"]


def test_privileged_acts_are_chained(world, firm, other):
    before = world.operator.get("/v1/audit_log:head").body
    world.operator.post(f"/v1/organizations/{other.id}:suspend", {"reason": "审计示例"})
    world.operator.post(f"/v1/organizations/{other.id}:reinstate")
    # Newest first; what was done before may still be on its way, so only acts on this organization count.
    acts = lambda body: [e for e in body.get("data", []) if e["subject"] == other.id][:2]
    listed = world.operator.wait("/v1/audit_log", lambda body: [e["method"].rsplit(".", 1)[1] for e in acts(body)] == [
        "ReinstateOrganization", "SuspendOrganization"]).body
    assert "审计示例" in acts(listed)[1]["request"]
    report = world.operator.post("/v1/audit_log:verify", {"anchor": before}).body
    assert report["passed"] is True, report
    assert world.operator.post("/v1/audit_log:verify", {"anchor": before | {"hash": "0" * 63 + "1"}})["passed"] is False \
        or int(before["seq"]) == 0
    assert firm.client.refuse("POST", "/v1/audit_log:verify").code == "INSUFFICIENT_SCOPE"
    assert all(e["organization_id"] == firm.id for e in firm.client.get("/v1/audit_log").body.get("data", []))


# What everybody may know of another organization: its grade and summary.
FOR_ALL = {("GET", "/v1/organizations/{organization_id}/credit")}


def routes_with_ids(world):
    """(method, path template) of every route with one parameter, as the platform lists them."""
    listed = world.platform.client().get("/v1").body
    return [(r["method"], r["path"]) for r in listed["routes"] if re.search(r"\{[a-z0-9_]+\}", r["path"])]


def test_what_is_anothers_is_not_there(world, firm, other):
    """Every route with an id: another organization's object answers as an id that nobody has."""
    owned = {
        "organizations": firm.id,
        "sites": firm.client.post("/v1/sites", {
            "display_name": "plant", "place": {"longitude": 120.6, "latitude": 31.3}})["id"],
        "api_keys": key(firm)["id"],
    }
    listing = world.listing(firm)
    draft = firm.client.post("/v1/listings", world.listing_body(world.resource(firm)["id"])).body
    owned["resources"], owned["listings"] = draft["resource_id"], draft["id"]
    buyer = world.organization("示例第三方")
    booking = world.book(buyer, listing, world.window(days=20))
    owned["bookings"] = booking["id"]
    owned["escrows"] = buyer.client.wait(f"/v1/escrows?booking_id={booking['id']}",
                                         lambda body: body.get("data")).body["data"][0]["id"]
    # The stranger holds every role that an enterprise can have.
    stranger = other.client
    asked = 0
    for method, path in routes_with_ids(world):
        noun = path.split("/")[2]
        if noun not in owned or path.count("{") != 1 or (method, path) in FOR_ALL:
            continue
        name = re.search(r"\{[a-z0-9_]+\}", path).group(0)
        prefix = owned[noun].split("_")[0]
        nobody = prefix + "_" + "01JZZZZZZZ" + uuid.uuid4().hex[:16].upper()
        answers = []
        for id in (owned[noun], nobody):
            body = None if method in ("GET", "DELETE") else {}
            answer = stranger.send(method, path.replace(name, id), body, headers={"If-Match": "*"})
            problem = json.loads(answer.raw) if answer.raw else {}
            answers.append((answer.status, {k: v for k, v in problem.items() if k not in ("request_id", "instance")}))
        assert answers[0] == answers[1], (method, path, answers)
        # Verbs may be refused earlier, for a role or a body; what is read is not there.
        assert answers[0][0] == 404 if method == "GET" else answers[0][0] >= 400, (method, path, answers)
        asked += 1
    assert asked >= 25, asked
