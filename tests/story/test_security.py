# SPDX-License-Identifier: Apache-2.0
"""Who may do what with whose things, over every route that the platform has.

The checklist of reference/escrow_reliability.md §5, item by item, and where it is proved. Names without a file are tests of this
one; [edge] is test_security_edge.py, [gateway] services/gateway/gateway_test.cpp.

S1   no or a wrong credential      test_nobody_gets_in_without_a_credential, test_grpc_asks_for_the_same
S2   forged tokens                 test_forged_assertions_and_tokens; every rule alone: identity/access_test.cpp Assertions
S3   scopes                        test_every_route_asks_for_its_scope, test_grpc_asks_for_the_same
S4   others' objects (BOLA)        test_anothers_object_is_as_one_that_nobody_has, test_anothers_id_in_a_body_or_query. Timing is not
                                   measured: one query, which row-level security narrows, answers both
S5   mass assignment               test_what_the_system_sets_cannot_be_sent
S6   office functions              test_every_route_asks_for_its_roles
S7   skipped steps                 test_no_step_can_be_skipped; test_bad_input.py
                                   test_check_in_while_unfunded_and_release_before_acceptance; tests/integration/escrow_ledger_test.cpp.
                                   Refunds and awards: there are none yet
S8   two persons                   test_approvals, approvals_test.cpp
S9   API keys                      test_no_secret_is_in_the_database; identity/access_test.cpp KeepsNoSecret; revoked within 5 s:
                                   [gateway] AuthenticatesAndForgetsRevokedKeysWithinFiveSeconds, test_bad_input.py
                                   test_a_registration_replayed_shows_the_same_secret
S10  row-level security            test_readers_see_through_row_level_security_alone, test_one_connection_keeps_no_organization;
                                   instead of composite keys, an owner is looked for behind each id: S4
S11  the ledger is append-only     test_the_ledger_is_append_only; tests/integration/escrow_ledger_test.cpp NothingIsRewritten
S12  mTLS between roles            test_apart.py test_split_roles_speak_tls_with_each_other; common/rpc/tls_test.cpp
S13  headers that name somebody    test_headers_that_name_somebody_are_nothing; [gateway] CarriesTheContextAndNothingElseFromTheClient
S14  services act for their caller common/rpc/policy_test.cpp OnlyTheGatewayAndWhoIsNamedPresentsACaller, AServiceIsNoOther
S15  dangerous HTTP                [edge] test_what_two_programs_could_read_differently; common/http/server_test.cpp, guard_test.cpp
S16  sizes, media, methods         [edge] test_limits_have_their_statuses
S17  slow and many clients         [edge] test_idle_connections_cost_others_nothing; test_mutations.py, its Drip; common/http/server_test.cpp
                                   ClosesSlowHeadersBodiesAndIdleConnections, limits_test.cpp CutsOffWhoDoesNotTakeTheAnswer
S18  pipelining                    [edge] test_pipelined_requests_are_answered_in_order; common/http/limits_test.cpp
S19  JSON                          [edge] test_json_that_two_readers_could_take_differently; test_bad_input.py test_malformed_json
S20  quotas                        test_telemetry.py test_a_quota_holds_and_comes_back; grpc_edge_test.cpp AKeysQuotaEnds. A lost store
                                   refuses nobody, money neither: api.md wins over this item
S21  guessing                      [edge] test_who_guesses_is_slowed_down
S22  pages                         test_pages_have_a_size. Over the maximum is cut to it, as api.md says, not refused
S23  webhooks out                  test_webhooks.py; notifications/webhooks_test.cpp, domain/webhook_test.cpp; common/http/client_test.cpp
                                   ConnectsOnlyWhereItMay
S24  the bank's notices            test_only_the_banks_signature_counts; tests/integration/escrow_custodian_test.cpp
S25  audit chain                   test_a_flipped_byte_in_the_audit_log_is_found; identity/access_test.cpp
                                   ChainsPrivilegedActsAndFindsEveryChange. The ledger's own chain: not there yet
S26  errors say nothing inside     test_mutations.py (every refusal); common/http/server_test.cpp AnswersHeadContinueAndFailures,
                                   grpc_edge_test.cpp CausesStayInside
S27  TLS                           common/http/tls_test.cpp SpeaksOnlyWhatIsSound, TellsPlainHttpThatItIsWrongHere
S28  secrets                       test_no_secret_is_in_the_program_or_its_sources; test_telemetry.py test_no_secret_in_logs_or_arguments
S29  inner pages                   test_inner_pages_and_calls_are_not_at_the_edge; grpc_edge_test.cpp WhatHasNoRouteIsNotThere.
                                   Reflection is served on purpose, with the public calls alone
S30  inventory of dependencies     no counterpart yet: scripts/deps.debian lists packages, not the fixes that Debian's versions lack
"""
import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import re
import subprocess
import time
import urllib.parse
import uuid

import pytest

from contract import Contract, nested, pointer, put
from estate import Estate, apart_from_names, nobodys
from local_platform import ROOT, program
from wire import grpc_call

UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND, UNIMPLEMENTED = 16, 7, 5, 12
# What everybody may know of another organization: its grade and summary.
OFFICE = {"register_invitations", "approvals"}  # the operator's own
FOR_ALL = {"GetOrganizationCredit"}


@pytest.fixture(scope="module")
def contract(world):
    return Contract(world.platform.client().get("/openapi.json").body)


@pytest.fixture(scope="module")
def estate(world):
    return Estate(world)


@pytest.fixture(scope="module")
def stranger(world):
    """Another organization, with every role that an enterprise has, and a resource of its own."""
    made = world.organization("示例旁人")
    made.resource = world.resource(made)["id"]
    return made


def key_with(firm, world, **body):
    return world.platform.client(firm.client.post("/v1/api_keys", {"display_name": "story", **body})["secret"])


def guarded(contract):
    return [route for route in contract.routes if not route.public]


def grpc(world, method, *metadata, message=b""):
    status, trailers, _ = grpc_call(world.platform.instance["grpc_address"], f"/millrace.{method}", message, metadata)
    return status, trailers


def text_field(number, text):
    """A protobuf field of text."""
    return bytes([number << 3 | 2, len(text)]) + text.encode()


# --- S1 to S3, S6: credentials, scopes, roles

def test_nobody_gets_in_without_a_credential(world, contract):
    nobody = world.platform.client()
    for route in guarded(contract):
        path = route.at("x", "y") + ("" if not route.writes else "?validate_only=true")
        refused = nobody.refuse(route.method, path, {} if route.schema else None, headers={"Content-Type": route.media_type})
        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED"), route
        assert refused.answer.headers["www-authenticate"].startswith("Bearer"), route
    assert len(guarded(contract)) >= 90
    for wrong in ("Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer sk_test_x, Bearer sk_test_y", "sk_test_nonsense",
                  "Bearer " + "x" * 5000, "Bearer sk_test_\u00e9"[:-1] + "%00"):
        refused = nobody.refuse("GET", "/v1/me", headers={"Authorization": wrong})
        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED"), wrong


def test_grpc_asks_for_the_same(world, estate, stranger):
    me, get = "identity.v1.Identity/GetMe", "operations.v1.Operations/GetBooking"
    assert grpc(world, me)[0] == UNAUTHENTICATED
    assert grpc(world, me, ("authorization", "Bearer sk_test_nonsense"))[0] == UNAUTHENTICATED
    bearer = ("authorization", f"Bearer {stranger.secret}")
    assert grpc(world, me, bearer)[0] == 0
    # What services write between each other means nothing here.
    forged = [("millrace-organization", estate.firm.id), ("millrace-roles", "operator,service"), ("millrace-verified", "1")]
    assert grpc(world, me, *forged)[0] == UNAUTHENTICATED
    scoped = stranger.client.post("/v1/api_keys", {"display_name": "story", "scopes": ["sites:read"]})["secret"]
    assert grpc(world, me, ("authorization", f"Bearer {scoped}"))[0] == PERMISSION_DENIED
    foreign = grpc(world, get, bearer, *forged, message=text_field(1, estate.booking["id"]))
    nothing = grpc(world, get, bearer, message=text_field(1, nobodys(estate.booking["id"])))
    assert foreign[0] == nothing[0] == NOT_FOUND and foreign[1].get("grpc-message") == nothing[1].get("grpc-message")
    mine = grpc(world, get, ("authorization", f"Bearer {estate.buyer.secret}"), message=text_field(1, estate.booking["id"]))
    assert mine[0] == 0
    for inner in ("identity.v1.Identity/Authenticate", "runtime.v1.Runtime/Fire", "escrow.v1.EscrowService/Hold"):
        assert grpc(world, inner, bearer)[0] == UNIMPLEMENTED


def test_every_route_asks_for_its_scope(world, contract, estate):
    reads = sorted({route.scope for route in contract.routes if route.scope.endswith(":read")})
    reader, elsewhere = key_with(estate.firm, world, scopes=reads), {}
    for noun in ("sites", "demands"):
        elsewhere[noun] = key_with(estate.firm, world, scopes=[f"{noun}:*"])
    asked = 0
    for route in guarded(contract):
        # Who may read everything changes nothing, and who may do everything with one noun reads no other.
        client = reader if route.writes else elsewhere["demands" if route.noun == "sites" else "sites"]
        refused = client.refuse(route.method, route.at(estate.ids.get(route.noun, "x")), {} if route.schema else None,
                                headers={"Content-Type": route.media_type, "If-Match": "*"})
        assert (refused.status, refused.code) == (403, "INSUFFICIENT_SCOPE"), route
        assert route.scope in refused.body["detail"], (route, refused)
        asked += 1
    assert asked >= 90


def test_every_route_asks_for_its_roles(world, contract, estate):
    """The office's own calls for nobody else, and a key that has only other roles than the route's for nothing."""
    before = {noun: estate.firm.client.get(f"/v1/{noun}/{id}").raw for noun, id in estate.ids.items()
              if noun in ("organizations", "listings", "members", "webhook_endpoints")}
    keys = {}
    asked = 0
    for route in guarded(contract):
        if not route.roles:
            continue
        others = tuple(sorted({"admin", "buyer", "provider"} - route.roles))
        if not others:
            continue
        if others not in keys:
            keys[others] = key_with(estate.firm, world, roles=list(others))
        refused = estate.call(keys[others], route, estate.ids.get(route.noun, "x"), estate.body(route))
        assert (refused.status, refused["code"]) == (403, "INSUFFICIENT_SCOPE"), (route, others, refused.body)
        asked += 1
    assert asked >= 50, asked
    for noun, was in before.items():
        assert estate.firm.client.get(f"/v1/{noun}/{estate.ids[noun]}").raw == was


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A client that signs its assertions with an RSA key of its own."""

    def __init__(self, folder):
        self.file = folder / "client.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.file, "2048"], check=True, capture_output=True)
        modulus = subprocess.run(["openssl", "rsa", "-in", self.file, "-noout", "-modulus"], check=True, capture_output=True, text=True)
        self.public = subprocess.run(["openssl", "rsa", "-in", self.file, "-pubout"], check=True, capture_output=True).stdout
        self.jwk = {"kty": "RSA", "n": base64url(bytes.fromhex(modulus.stdout.strip().partition("=")[2])), "e": "AQAB", "kid": "one"}

    def assertion(self, claims, **header):
        header = {"alg": "RS256", "kid": "one", "typ": "JWT", **header}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        if header["alg"] == "none":
            return text + "."
        if header["alg"] == "HS256":  # with the public key as the secret
            return text + "." + base64url(hmac.new(self.public, text.encode(), hashlib.sha256).digest())
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.file], input=text.encode(), check=True, capture_output=True)
        return text + "." + base64url(signed.stdout)


def test_forged_assertions_and_tokens(world, estate, tmp_path):
    signer = Signer(tmp_path)
    client = estate.firm.client.post("/v1/api_keys", {"display_name": "ERP", "public_keys": [signer.jwk]}).body
    nobody = world.platform.client()
    endpoint = nobody.get("/.well-known/oauth-authorization-server")["token_endpoint"]

    def claims(**changes):
        now = int(time.time())
        made = {"iss": client["id"], "sub": client["id"], "aud": endpoint, "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex, **changes}
        return {name: value for name, value in made.items() if value is not None}

    def ask(assertion):
        form = {"grant_type": "client_credentials", "client_assertion": assertion,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        return nobody.send("POST", "/oauth2/token", urllib.parse.urlencode(form).encode(),
                           headers={"Content-Type": "application/x-www-form-urlencoded"})

    good = signer.assertion(claims())
    answer = ask(good)
    assert answer.status == 200, answer.body
    assert world.platform.client(answer["access_token"]).get("/v1/me")["api_key_id"] == client["id"]
    now = int(time.time())
    forged = {
        "replayed": good,
        "alg none": signer.assertion(claims(), alg="none"),
        "HS256 with the public key": signer.assertion(claims(), alg="HS256"),
        "unknown kid": signer.assertion(claims(), kid="two"),
        "jku": signer.assertion(claims(), jku="https://example.com/keys"),
        "x5u": signer.assertion(claims(), x5u="https://example.com/cert"),
        "expired": signer.assertion(claims(iat=now - 900, exp=now - 600)),
        "nbf": signer.assertion(claims(nbf=now + 900)),
        "aud": signer.assertion(claims(aud="https://other.example/token")),
        "iss": signer.assertion(claims(iss="another")),
        "no exp": signer.assertion(claims(exp=None)),
        "another's client": signer.assertion(claims(iss=estate.api_key["id"], sub=estate.api_key["id"])),
        "changed claims": ".".join([good.split(".")[0], base64url(json.dumps(claims(exp=now + 3000)).encode()), good.split(".")[2]])}
    for name, assertion in forged.items():
        refused = ask(assertion)
        assert (refused.status, refused["error"]) == (401, "invalid_client"), name
    # None of them is a bearer token either, nor is the right assertion.
    for name in ("alg none", "HS256 with the public key", "replayed"):
        assert world.platform.client(forged[name]).refuse("GET", "/v1/me").status == 401, name


def test_headers_that_name_somebody_are_nothing(world, estate, stranger):
    plain = stranger.client.get("/v1/me")
    forged = {"X-User-Id": "usr_1", "X-Tenant-Id": estate.firm.id, "X-Organization": estate.firm.id, "X-Roles": "operator,service",
              "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.example", "X-Original-URL": "/v1/organizations",
              "X-HTTP-Method-Override": "DELETE", "Forwarded": "for=127.0.0.1", "millrace-organization": estate.firm.id,
              "millrace-roles": "operator,service", "millrace-actor": "service:gateway"}
    assert stranger.client.send("GET", "/v1/me", headers=forged).raw == plain.raw
    assert stranger.client.send("GET", f"/v1/bookings/{estate.booking['id']}", headers=forged).status == 404
    assert world.platform.client().send("GET", "/v1/me", headers=forged).status == 401


# --- S4: others' objects

def test_anothers_object_is_as_one_that_nobody_has(world, contract, estate, stranger):
    """Every route with an id, read and write: 404, and the same answer as for an id that nobody has; the object stays as it was."""
    def all_of_it():
        return {noun: (world.operator if noun in OFFICE else estate.firm.client).send("GET", f"/v1/{noun}/{id}").raw
                for noun, id in estate.ids.items() if noun not in ("api_keys", "webhook_deliveries")}

    before = all_of_it()
    read = written = 0
    for route in contract.routes:
        if not route.path_parameters or route.name in FOR_ALL or not route.path.startswith("/v1/"):
            continue
        assert route.noun in estate.ids and len(route.path_parameters) == 1, f"{route}: this test does not know its objects yet"
        id = estate.ids[route.noun]
        foreign, nothing = (estate.call(stranger.client, route, one, estate.body(route, stranger.resource)) for one in (id, nobodys(id)))
        assert apart_from_names(foreign) == apart_from_names(nothing), route
        assert id not in foreign.raw.decode() and set(foreign.headers) == set(nothing.headers), route
        if route.roles and not route.roles & {"buyer", "provider", "admin"}:
            assert foreign.status == 403, route  # the office's own
            continue
        assert (foreign.status, foreign["code"]) == (404, "NOT_FOUND"), (route, foreign.body)
        read, written = read + (not route.writes), written + route.writes
    assert read >= 15 and written >= 35, (read, written)
    assert all_of_it() == before


def test_anothers_id_in_a_body_or_query(world, contract, estate, stranger):
    """An id may be named elsewhere too: what it stands for is not said, nor taken."""
    ids = {"listing_id": estate.ids["listings"], "resource_id": estate.ids["resources"], "booking_id": estate.ids["bookings"],
           "escrow_id": estate.ids["escrows"], "endpoint_id": estate.ids["webhook_endpoints"], "event_id": estate.ids["events"],
           "organization_id": estate.firm.id}
    asked = 0
    for route in contract.routes:
        for parameter in route.query:
            name = parameter["name"]
            if route.writes or not name.endswith("_id") or name in ("external_id", "after_id"):
                continue
            foreign, nothing = (stranger.client.send("GET", f"{route.path}?{name}={one}") for one in (ids[name], nobodys(ids[name])))
            assert apart_from_names(foreign) == apart_from_names(nothing), (route, name)
            assert foreign.status == 404 or foreign["data"] == [], (route, name)
            asked += 1
    assert asked >= 6
    subject = f"/v1/events?subject=bookings/{estate.booking['id']}"
    assert stranger.client.get(subject)["data"] == [] and estate.buyer.client.get(subject)["data"] != []

    mine = world.listing_body(stranger.resource)
    equipment = {"kind": "EQUIPMENT", "display_name": {"zh": "铣床"}}
    window = world.window(days=30)
    for path, make, id in [
            ("/v1/listings", lambda id: mine | {"resource_id": id}, estate.ids["resources"]),
            ("/v1/resources", lambda id: equipment | {"site_id": id}, estate.ids["sites"]),
            ("/v1/resources", lambda id: equipment | {"parent_ids": [id]}, estate.ids["resources"]),
            ("/v1/bookings", lambda id: {"listing_id": id, "window": window}, estate.ids["listings"]),
            ("/v1/reviews", lambda id: {"booking_id": id, "rating": 1}, estate.ids["bookings"]),
            ("/v1/api_keys", lambda id: {"display_name": "x", "member_id": id}, estate.ids["members"])]:
        foreign, nothing = (stranger.client.send("POST", path, make(one)) for one in (id, nobodys(id)))
        assert apart_from_names(foreign) == apart_from_names(nothing), (path, foreign.body, nothing.body)
        assert foreign.status in (404, 422), (path, foreign.body)
    # A demand may be named by anybody, but only its own buyer's booking answers it.
    theirs = {"listing_id": estate.listing["id"], "window": window, "demand_id": estate.ids["demands"]}
    booked = stranger.client.post("/v1/bookings", theirs)
    estate.buyer.client.wait(f"/v1/events?subject=listings/{estate.listing['id']}", lambda body: body["data"] == [])
    assert estate.firm.client.get(f"/v1/demands/{estate.ids['demands']}")["state"] == "OPEN"
    stranger.client.post(f"/v1/bookings/{booked['id']}:cancel")
    # Only the office makes a key for another organization.
    refused = stranger.client.refuse("POST", f"/v1/organizations/{estate.firm.id}/api_keys", {"display_name": "x"})
    assert (refused.status, refused.code) == (403, "INSUFFICIENT_SCOPE"), refused


# --- S5: mass assignment

def value_at(whole, path):
    for part in path:
        try:
            whole = whole[part]
        except (KeyError, IndexError, TypeError):
            return None
    return whole


def test_what_the_system_sets_cannot_be_sent(contract, estate):
    """Every create and update, each output-only field alone: refused by name, and nothing is changed or made."""
    lists = {route.path: route for route in contract.routes if not route.writes and any(q["name"] == "page_size" for q in route.query)}
    asked = 0
    for route in contract.routes:
        schema = contract.route(route.name.replace("Patch", "Update")).schema if route.method == "PATCH" else route.schema
        if not schema:
            continue
        client = estate.party(route)
        fields = [(path, node) for path, node, read_only in contract.fields(schema) if read_only]
        if not fields:
            continue
        place = route.at(estate.ids.get(route.noun, ""))
        seen = place if route.path_parameters and ":" not in route.path else route.path if route.path in lists else None
        stored = client.send("GET", seen) if seen else None
        if stored and stored.status != 200:  # the office's list
            seen = stored = None
        for path, node in fields:
            value = contract.sample(node, value_at(stored.body, path) if stored else None)
            body = nested(path, value) if route.method != "PUT" else put(stored.body, path, value)
            refused = client.refuse(route.method, place, body, headers={"Content-Type": route.media_type, "If-Match": "*"})
            assert refused.status == 400, (route, path, refused)
            # The objects that `expand` brings are no fields of the contract: unknown, not read only.
            faults = {fault["pointer"]: fault["code"] for fault in refused.body["errors"]}
            assert faults.get(pointer(path)) in ("OUTPUT_ONLY", "UNKNOWN_FIELD"), (route, path, refused)
            if path[-1] in ("state", "id", "etag", "create_time"):
                assert faults[pointer(path)] == "OUTPUT_ONLY", (route, path)
            asked += 1
        if seen:
            assert client.get(seen).raw == stored.raw, route
    assert asked >= 120, asked


# --- S7: no step is skipped

def test_no_step_can_be_skipped(world, estate):
    """Of a booking that nobody paid, every later step of either party is refused, and no money moves."""
    firm, buyer = estate.firm.client, estate.buyer.client
    booking, work, escrow = estate.ids["bookings"], estate.ids["work_orders"], estate.ids["escrows"]
    before = buyer.get("/v1/transfers").raw, firm.get("/v1/balance").raw, buyer.get("/v1/balance").raw
    for client, path in [(firm, f"/v1/bookings/{booking}:checkIn"), (firm, f"/v1/bookings/{booking}:start"),
                         (buyer, f"/v1/bookings/{booking}:start"), (firm, f"/v1/bookings/{booking}:checkOut"), (buyer, f"/v1/bookings/{booking}:close"),
                         (firm, f"/v1/bookings/{booking}:approve"), (firm, f"/v1/bookings/{booking}:decline"),
                         (firm, f"/v1/work_orders/{work}:start"), (firm, f"/v1/work_orders/{work}:deliver"),
                         (buyer, f"/v1/work_orders/{work}:accept"), (buyer, f"/v1/work_orders/{work}:reject"),
                         (buyer, f"/v1/escrows/{escrow}:release")]:
        refused = client.refuse("POST", path, {"note": "x"} if path.endswith("reject") else None)
        assert refused.status == 409, (path, refused)
    # Nor by the other party than whose step it is.
    for client, path in [(buyer, f"/v1/bookings/{booking}:checkIn"), (firm, f"/v1/work_orders/{work}:accept"),
                         (firm, f"/v1/escrows/{escrow}:release"), (firm, f"/v1/bookings/{booking}:close")]:
        assert client.refuse("POST", path).status in (403, 404, 409), path
    refused = firm.refuse("POST", "/v1/reviews", {"booking_id": booking, "rating": 5})
    assert refused.code in ("REVIEW_NOT_ALLOWED", "NOT_FOUND")
    assert (buyer.get("/v1/transfers").raw, firm.get("/v1/balance").raw, buyer.get("/v1/balance").raw) == before
    assert buyer.get(f"/v1/bookings/{booking}")["state"] == "HELD"


# --- S9 to S11: what lies in the database

def test_no_secret_is_in_the_database(world, estate):
    rotated = estate.firm.client.post(f"/v1/api_keys/{estate.api_key['id']}:rotate")["secret"]
    form = {"grant_type": "client_credentials", "client_id": estate.api_key["id"], "client_secret": rotated}
    token = world.platform.client().send("POST", "/oauth2/token", urllib.parse.urlencode(form).encode(),
                                         headers={"Content-Type": "application/x-www-form-urlencoded"})["access_token"]
    keys = json.loads((world.platform.data / "keys.json").read_text())
    secrets = [estate.firm.secret, estate.buyer.secret, estate.api_key["secret"], rotated, token, estate.endpoint["secret"],
               keys["operator_key"], keys["custodian_secret"], keys["internal_token"]]
    assert all(len(secret) > 20 for secret in secrets)
    dump = subprocess.run(["pg_dump", "--dbname", world.platform.instance["database_url"], "--data-only"],
                          capture_output=True, check=True).stdout
    assert b"COPY identity.api_key" in dump
    for secret in secrets:
        plain = secret.encode()
        bare = plain.split(b"_")[-1]
        raw = base64.b64decode(bare) if secret.startswith("whsec_") else bare
        for form in (plain, plain.hex().encode(), bare.hex().encode(), raw.hex().encode(), base64.b64encode(plain)):
            assert form not in dump, f"{secret[:8]}… is in the database"
    # Keys are kept as SHA-256 alone.
    assert hashlib.sha256(rotated.encode()).hexdigest().encode() in dump


SECRETS = re.compile(rb"sk_(?:test|live)_[A-Za-z0-9_-]{32,}|whsec_[A-Za-z0-9+/]{40,}=*|-----BEGIN (?:RSA |EC |ENCRYPTED )?PRIVATE KEY-----\s+"
                     rb"[A-Za-z0-9+/]|AKIA[A-Z0-9]{16}|ghp_[A-Za-z0-9]{30}")


def test_no_secret_is_in_the_program_or_its_sources():
    # What somebody keeps beside them, like the output of scripts/run with its keys, is not ours.
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
    files = [pathlib.Path(ROOT) / name for name in listed.split("\0") if name and (pathlib.Path(ROOT) / name).is_file()]
    assert len(files) > 500
    programs = [program().resolve().parent / name for name in ("millrace", "millrace-custodian")]
    for file in files + programs:
        found = SECRETS.search(file.read_bytes())
        assert not found, (file, found.group(0)[:12])


# Tables that a reader may read whole, and why.
OPEN_TABLES = {"notifications.feed_state": "one row that is nobody's: the feed's last and its oldest number"}
# Rows that a reader sees though nobody asks, and why.
ROWS_FOR_ALL = {"listing.listing": "a published listing is for everybody to see"}
# The same of a caller that owns nothing.
ROWS_FOR_CALLERS = {"credit.credit": "grade and summary are for everybody with a key"}


def test_readers_see_through_row_level_security_alone(world):
    sql = world.platform.sql
    roles = {line[0]: line[1:] for line in sql(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname ~ '_(reader|worker)$'")}
    assert len([name for name in roles if name.endswith("_reader")]) >= 7
    assert set(map(tuple, roles.values())) == {("f", "f", "f", "f")}
    tables = sql("""
        SELECT n.nspname || '.' || c.relname, r.rolname, c.relrowsecurity, c.relforcerowsecurity,
               pg_has_role(r.rolname, c.relowner, 'USAGE'), has_table_privilege(r.rolname, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pg_roles r
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND r.rolname ~ '_reader$' AND n.nspname !~ '^pg_|^information_schema$'
          AND has_schema_privilege(r.rolname, n.oid, 'USAGE') AND has_any_column_privilege(r.rolname, c.oid, 'SELECT')""")
    assert len(tables) >= 20, tables
    for table, reader, enabled, forced, owner, changes in tables:
        assert table in OPEN_TABLES or (enabled, forced) == ("t", "t"), f"{reader} reads {table} past row-level security"
        assert (owner, changes) == ("f", "f"), f"{reader} may change {table}"
    # Nobody named, or somebody who owns nothing: no row, in each table that is not empty.
    full = {line[0] for line in sql(";".join(f"SELECT '{table}' FROM {table} LIMIT 1" for table, *_ in tables))}
    assert len(full) >= 12, full
    somebody = f"SET LOCAL millrace.organization = '{uuid.uuid4()}'; SET LOCAL millrace.roles = 'buyer,provider,admin';"
    for settings, for_all in (("", ROWS_FOR_ALL), (somebody, ROWS_FOR_ALL | ROWS_FOR_CALLERS)):
        counts = sql(";".join(f"BEGIN; SET LOCAL ROLE {reader}; {settings} SELECT '{table}', count(*) FROM {table}; ROLLBACK"
                              for table, reader, *_ in tables if table not in OPEN_TABLES))
        assert len(counts) == len(tables) - len(OPEN_TABLES)
        assert not [table for table, count in counts if count != "0" and table not in for_all], (settings, counts)
    insert = "INSERT INTO escrow.payment_reference VALUES ('x', gen_random_uuid())"
    refused = sql(f"BEGIN; SET LOCAL ROLE escrow_reader; {insert}; ROLLBACK", fails=True)
    assert "permission denied" in refused
    assert sql("SELECT count(*) FROM listing.listing WHERE state <> 'PUBLISHED'")[0][0] != "0"
    hidden = sql("BEGIN; SET LOCAL ROLE listing_reader; SELECT count(*) FROM listing.listing WHERE state <> 'PUBLISHED'; ROLLBACK")
    assert hidden == [["0"]]


def test_one_connection_keeps_no_organization(estate, stranger):
    """A thousand reads by turns, over few database sessions: nobody gets what the one before may see."""
    def read(n):
        party = (estate.firm, stranger)[n % 2]
        seen = party.client.send("GET", "/v1/sites").body["data"]
        return all(site["organization_id"] == party.id for site in seen) and (len(seen) > 0) == (n % 2 == 0)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(1000)))


def test_the_ledger_is_append_only(world):
    """By privilege for the service's own roles, by trigger for the owner: both are 42501."""
    changes = ["UPDATE escrow.entry SET amount = amount + 1", "DELETE FROM escrow.entry", "TRUNCATE escrow.entry",
               "UPDATE escrow.transfer SET kind = $x$void$x$", "DELETE FROM escrow.transfer", "UPDATE escrow.pay_in SET amount = 1"]
    for role in ("escrow_worker", "escrow_reader", "postgres"):
        tried = [change for change in changes if role != "postgres" or "pay_in" not in change]
        world.platform.sql(f"""BEGIN; SET LOCAL ROLE {role}; DO $do$ DECLARE change text; BEGIN
            FOREACH change IN ARRAY ARRAY[{", ".join(f"'{change}'" for change in tried)}] LOOP
              BEGIN
                EXECUTE change;
                RAISE EXCEPTION '% was possible', change USING ERRCODE = 'P0001';
              EXCEPTION WHEN insufficient_privilege THEN NULL;
              END;
            END LOOP;
          END $do$; ROLLBACK""")


# --- S22, S24, S25, S29

def test_pages_have_a_size(contract, estate):
    asked = 0
    for route in contract.routes:
        if not any(query["name"] == "page_size" for query in route.query):
            continue
        client = estate.party(route)
        path = route.at(estate.firm.id)
        for wrong in ("-1", "2147483648", "1e3", "x", ""):
            refused = client.refuse("GET", f"{path}?page_size={wrong}")
            assert refused.status in (400, 422) and refused.body["errors"][0]["parameter"] == "page_size", (route, wrong, refused)
        for size, most in ((1, 1), (100000, 500)):
            assert len(client.get(f"{path}?page_size={size}").body.get("data", [])) <= most, route
        assert client.refuse("GET", f"{path}?page_token=AAAA").code == "INVALID_PAGE_TOKEN", route
        asked += 1
    assert asked >= 15, asked


def test_only_the_banks_signature_counts(world, estate):
    keys = json.loads((world.platform.data / "keys.json").read_text())
    secret = base64.b64decode(keys["custodian_secret"].removeprefix("whsec_"))
    notice = {"notice_id": f"ntc_{uuid.uuid4().hex}", "kind": "pay_in", "transfer_id": f"trf-{uuid.uuid4().hex}"}

    def deliver(body=None, id=notice["notice_id"], at=None, key=secret, sent=None):
        body = json.dumps(body or notice).encode()
        stamp = str(int(time.time()) if at is None else at)
        signature = base64.b64encode(hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
        return world.platform.client().send("POST", "/v1/custodian/notices", sent or body, headers={
            "webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}", "Content-Type": "application/json"})

    before = world.balance(estate.buyer)
    for refused in (deliver(key=b"x" * 32), deliver(at=int(time.time()) - 301), deliver(at=int(time.time()) + 301), deliver(id="another"),
                    deliver(sent=json.dumps(notice | {"kind": "pay_out"}).encode()), deliver(sent=json.dumps(notice).encode() + b" ")):
        assert (refused.status, refused["code"]) == (401, "SIGNATURE_INVALID"), refused.body
    assert world.platform.client().refuse("POST", "/v1/custodian/notices", notice).status == 401
    # Genuine, twice, of money that the bank does not know: taken, and the bank's word decides.
    assert deliver().status == deliver().status == 200
    assert world.platform.sql(f"SELECT count(*) FROM escrow.notice WHERE notice_id = '{notice['notice_id']}'") == [["1"]]
    assert world.balance(estate.buyer) == before


def test_a_flipped_byte_in_the_audit_log_is_found(world, estate):
    sql = world.platform.sql
    world.operator.post(f"/v1/organizations/{estate.buyer.id}:suspend", {"reason": "x"})
    world.operator.post(f"/v1/organizations/{estate.buyer.id}:reinstate")
    head = world.operator.wait("/v1/audit_log:head", lambda body: int(body.get("seq", 0)) >= 2).body
    seq = int(head["seq"])
    flip = f"UPDATE identity.audit_entry SET act = set_bit(act, 77, 1 - get_bit(act, 77)) WHERE seq = {seq - 1}"
    assert "append-only" in sql(flip, fails=True)
    tamper = f"BEGIN; SET LOCAL session_replication_role = replica; {flip}; COMMIT"
    sql(tamper)
    try:
        report = world.operator.post("/v1/audit_log:verify", {"anchor": head}).body
        assert report["passed"] is False and int(report["broken_seq"]) == seq - 1, report
    finally:
        sql(tamper)
    assert world.operator.post("/v1/audit_log:verify", {"anchor": head})["passed"] is True


def test_inner_pages_and_calls_are_not_at_the_edge(world, estate):
    for client in (world.platform.client(), estate.firm.client, world.operator):
        for path in ("/metrics", "/debug", "/debug/pprof", "/debug/vars", "/admin", "/actuator/health", "/server-status", "/.env",
                     "/.git/config", "/v1/metrics", "/v1/tasks", "/v1/runtime", "/v2", "/v1/bookings/../../metrics", "/v1//me", "/%2e%2e/metrics",
                     "/sandbox/transfers", "/grpc.health.v1.Health/Check", "/millrace.identity.v1.Identity/Authenticate"):
            refused = client.refuse("GET", path)
            assert refused.status == 404, (path, refused)
