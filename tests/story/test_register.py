# SPDX-License-Identifier: Apache-2.0
"""What the operator loads: codes of industries, and the park's register, whose enterprises register by invitation."""
import concurrent.futures
import csv
import datetime
import io
import json
import random

import pytest

from cli import Shell
from local_platform import make_uscc

COLUMNS = ["uscc", "display_name", "industry_code", "region_code", "contact_email", "contact_name", "external_id"]
# Division 43, which no other story registers in: what is loaded binds every later registration on the platform.
CODES = [("431", "金属制品修理"), ("4310", "金属制品修理"), ("432", "通用设备修理"), ("C4320", "通用设备修理")]


def table(header, rows, encoding="utf-8"):
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode(encoding)


def firm(number, **changes):
    facts = {"uscc": make_uscc(31**6 + number), "display_name": f"登记企业{number}", "industry_code": "4310", "region_code": "320583",
             "contact_email": f"a{number}@example.com", "contact_name": "王工", "external_id": f"park-{number}", **changes}
    return [facts[name] for name in COLUMNS]


@pytest.fixture(scope="module")
def numbers():
    start = random.randrange(31**5)
    return iter(range(start, start + 1000))


def send(client, path, file, key=None):
    return client.call("POST", path, file, key, {"Content-Type": "text/csv"})


def refuse(client, path, file):
    return client.refuse("POST", path, file, headers={"Content-Type": "text/csv"})


def invite(world, *rows, key=None):
    return send(world.operator, "/v1/register_invitations:import", table(COLUMNS, rows), key).body


def register(world, uscc, **more):
    return world.platform.client().send("POST", "/v1/organizations", {"display_name": "自报名称", "uscc": uscc, **more})


def test_the_operator_loads_codes(world):
    nobody = world.platform.client()
    sections = nobody.get("/v1/industry_codes", page_size=2)
    assert [(c["code"], c["level"]) for c in sections["data"]] == [("A", "SECTION"), ("01", "DIVISION")]
    assert [c["code"] for c in nobody.items("/v1/industry_codes", parent="C", page_size=10)] == [str(n) for n in range(13, 44)]
    assert nobody.get("/v1/industry_codes", parent="43")["data"] == []

    path = "/v1/industry_codes:import"
    wrong = table(["代码", "名称"], [("4310", "金属制品修理"), ("A431", "x"), ("432", ""), ("432", "通用设备修理")])
    refused = refuse(world.operator, path, wrong)
    assert (refused.status, refused.code) == (400, "INVALID_REQUEST"), refused
    assert [(e["pointer"], e["code"]) for e in refused.errors] == [
        ("#/2/code", "PARENT_MISSING"), ("#/3/code", "UNKNOWN_INDUSTRY_CODE"), ("#/4/name_zh", "REQUIRED"),
        ("#/5/code", "ALREADY_EXISTS")]
    checked = send(world.operator, path + "?validate_only=true", wrong).body
    assert [(f["row"], f["column"]) for f in checked["findings"]] == [(2, "code"), (3, "code"), (4, "name_zh"), (5, "code")]
    assert "431" in checked["findings"][0]["detail"]
    assert refuse(world.operator, path, table(["code"], [("431",)])).code == "IMPORT_HEADER"
    assert refuse(world.organization().client, path, wrong).code == "INSUFFICIENT_SCOPE"
    assert world.operator.refuse("POST", path, {"code": "431"}).code == "UNSUPPORTED_MEDIA_TYPE"

    file = table(["code", "name_zh"], CODES, "gb18030")
    loaded = send(world.operator, path, file, "load-industry-codes")
    assert (loaded["inserted"], loaded["changed"], loaded["unchanged"]) == (4, 0, 0)
    again = send(world.operator, path, file, "load-industry-codes")
    assert again.replayed and again.body == loaded.body
    renamed = table(["code", "name_zh", "name_en"], [("431", "金属制品修理", "Repair of metal products"), CODES[1] + ("",)])
    changed = send(world.operator, path, renamed).body
    assert (changed["inserted"], changed["changed"], changed["unchanged"]) == (0, 1, 1)
    assert [c["code"] for c in nobody.items("/v1/industry_codes", parent="43")] == ["431", "432"]
    one = nobody.get("/v1/industry_codes", parent="431")["data"][0]
    assert one["code"] == "4310" and one["display_name"]["zh"] == "金属制品修理" and one["parent"] == "431"

    # From now on a code of that division must be one of them; other divisions stay as they were.
    unknown = world.platform.client().refuse("POST", "/v1/organizations", {
        "display_name": "示例", "uscc": make_uscc(1), "industry_code": "C4399"})
    assert (unknown.status, unknown.code) == (422, "UNKNOWN_INDUSTRY_CODE")
    assert unknown.errors[0]["pointer"] == "#/industry_code" and "/v1/industry_codes" in unknown.detail
    world.organization("别的大类")


def test_the_register_invites(world, numbers):
    first, second, third = (next(numbers) for _ in range(3))
    path = "/v1/register_invitations:import"
    faulty = table(COLUMNS, [firm(first), firm(second, uscc="9132050", region_code="x"), firm(third, external_id=f"park-{first}")])
    refused = refuse(world.operator, path, faulty)
    assert [(e["pointer"], e["code"]) for e in refused.errors] == [
        ("#/3/uscc", "USCC_FORMAT"), ("#/3/region_code", "INVALID_FORMAT"), ("#/4/external_id", "ALREADY_EXISTS")]
    assert not any(i["external_id"] == f"park-{first}" for i in world.operator.items("/v1/register_invitations"))

    made = invite(world, firm(first), firm(second), key=f"invite-{first}")
    assert made["invited"] == 2 and made["skipped"] == 0
    assert invite(world, firm(first), firm(second), key=f"invite-{first}") == made  # the codes too
    invitation = made["invitations"][0]
    assert invitation["state"] == "OPEN" and invitation["code"].startswith("inv_")
    deadline = next(a["deadline_time"] for a in invitation["actions"] if "deadline_time" in a)
    assert deadline > invitation["create_time"]
    read = world.operator.get(f"/v1/register_invitations/{invitation['id']}").body
    assert not read.get("code") and read["contact_name"] == "王工"
    assert invitation["id"] in {i["id"] for i in world.operator.items("/v1/register_invitations", state="OPEN", page_size=1)}

    checked = send(world.operator, path + "?validate_only=true", table(COLUMNS, [firm(first), firm(third)])).body
    assert (checked["invited"], checked["skipped"]) == (1, 1) and checked["invitations"] == []
    assert [(f["row"], f["code"], f["skipped"]) for f in checked["findings"]] == [(2, "ALREADY_INVITED", True)]

    other = world.organization("旁人")
    assert other.client.refuse("GET", "/v1/register_invitations").code == "INSUFFICIENT_SCOPE"
    assert world.platform.client().refuse("GET", f"/v1/register_invitations/{invitation['id']}").code == "UNAUTHENTICATED"

    withdrawn = world.operator.post(f"/v1/register_invitations/{invitation['id']}:withdraw", {"reason": "已迁出"}).body
    assert (withdrawn["state"], withdrawn["state_reason"]) == ("WITHDRAWN", "已迁出")
    assert world.operator.refuse("POST", f"/v1/register_invitations/{invitation['id']}:withdraw").code == "STATE_CONFLICT"
    assert register(world, invitation["uscc"], invitation_code=invitation["code"]).status == 404
    events = world.operator.wait("/v1/events?type=invitation", lambda body: any(
        e["data"]["id"] == invitation["id"] for e in body["data"])).body["data"]
    event = next(e for e in events if e["data"]["id"] == invitation["id"])
    assert (event["type"], event["subject"]) == ("invitation.withdrawn", f"register_invitations/{invitation['id']}")
    acts = world.operator.wait("/v1/audit_log", lambda body: any(e["subject"] == invitation["id"] for e in body["data"])).body["data"]
    assert any(e["method"].endswith(".ImportRegisterInvitations") for e in acts)
    assert invitation["code"] not in json.dumps(acts)


def test_an_invited_enterprise_registers(world, numbers):
    mine, theirs = (next(numbers) for _ in range(2))
    made = invite(world, firm(mine), firm(theirs))["invitations"]
    # A code says nothing to whom it is not for: another's, a wrong one, one that never was.
    for uscc, code in [(made[0]["uscc"], made[1]["code"]), (make_uscc(7), made[0]["code"]), (made[0]["uscc"], "inv_none")]:
        answer = register(world, uscc, invitation_code=code)
        assert (answer.status, answer["code"]) == (404, "NOT_FOUND") and answer["errors"][0]["pointer"] == "#/invitation_code"

    # Two clients at once: one registers, the other hears that the enterprise is there.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(register, world, made[0]["uscc"], invitation_code=made[0]["code"]) for _ in range(2)]
        answers = sorted((each.result() for each in asked), key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [201, 409] and answers[1]["code"] == "ALREADY_EXISTS"
    organization = answers[0]["organization"]
    assert organization["state"] == "PENDING" and organization["display_name"] == "自报名称"
    assert (organization["industry_code"], organization["region_code"], organization["external_id"]) == ("4310", "320583", f"park-{mine}")
    assert organization["invitation_id"] == made[0]["id"] and not organization.get("invitation_code")
    assert world.operator.get(f"/v1/organizations/{organization['id']}")["invitation_id"] == made[0]["id"]
    used = world.operator.get(f"/v1/register_invitations/{made[0]['id']}").body
    assert (used["state"], used["organization_id"]) == ("ACCEPTED", organization["id"])
    assert world.operator.post(f"/v1/organizations/{organization['id']}:verify")["state"] == "VERIFIED"

    # Without its code the other one registers as anybody, which closes its invitation.
    plain = register(world, made[1]["uscc"])
    assert plain.status == 201 and not plain["organization"].get("invitation_id")
    closed = world.operator.get(f"/v1/register_invitations/{made[1]['id']}").body
    assert (closed["state"], closed["organization_id"]) == ("WITHDRAWN", plain["organization"]["id"])
    again = invite(world, firm(mine), firm(theirs))
    assert [f["code"] for f in again["findings"]] == ["ALREADY_REGISTERED"] * 2 and again["skipped"] == 2


def test_files_go_in_from_the_command_line(world, numbers, tmp_path):
    shell = Shell(world.platform.data)
    file = tmp_path / "register.csv"
    file.write_bytes(table(COLUMNS, [firm(next(numbers))]))
    dry = json.loads(shell("register_invitations", "import", "--data", f"@{file}", "--validate-only").stdout)
    assert dry["invited"] == 1 and dry["invitations"] == []
    made = json.loads(shell("register_invitations", "import", "--data", f"@{file}").stdout)
    assert made["invitations"][0]["code"].startswith("inv_")
    assert made["invitations"][0]["id"] in shell("register_invitations", "list", "--state", "OPEN").stdout
    file.write_bytes(table(["code", "name_zh"], [("4330", "专用设备修理")]))
    refused = shell("industry_codes", "import", "--data", f"@{file}", status=1)
    assert "PARENT_MISSING" in refused.stderr and "#/2/code" in refused.stderr
    file.write_bytes(table(["code", "name_zh"], [("433", "专用设备修理"), ("4330", "专用设备修理")]))
    assert json.loads(shell("industry_codes", "import", "--data", f"@{file}").stdout)["inserted"] == 2
    listed = shell("industry_codes", "list", "--parent", "433").stdout
    assert listed.startswith("4330") and "专用设备修理" in listed


def test_an_invitation_ends_after_thirty_days(world, numbers):
    """Last: it moves the clock of the platform that other stories share."""
    invitation = invite(world, firm(next(numbers)))["invitations"][0]
    world.advance(world.now() + datetime.timedelta(days=30, minutes=1))
    assert world.operator.get(f"/v1/register_invitations/{invitation['id']}")["state"] == "EXPIRED"
    assert register(world, invitation["uscc"], invitation_code=invitation["code"]).status == 404
