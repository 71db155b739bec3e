# SPDX-License-Identifier: Apache-2.0
"""Files of resources through `millrace import`: public equipment lists with their maps, and files that are faulty."""
import csv
import os
import pathlib
import re

import pytest

from cli import Shell
from local_platform import ROOT

DATA = pathlib.Path(os.environ.get("MILLRACE_DATA") or ROOT.parent / "shared/data") / "equipment"
MAPS = ROOT / "deploy/local/maps"
# File and map; the column and the text of rows that the map leaves out.
LISTS = {"university_equipment": None, "nanofab_tools": ("operational", "False"), "laboratory_instruments": ("active", "0")}
PROCESS = "separating.milling.five_axis"


@pytest.fixture
def provider(world):
    made = world.organization("进口方")
    made.shell = Shell(world.platform.data, made.secret)
    return made


def counts(output):
    """The summary's numbers by the first words of its lines."""
    return {words: int(number) for number, words in re.findall(r"^ +(\d+)  (to create|to update|unchanged|invalid|with a process|without one)",
                                                               output, re.M)}


def expected(created=0, updated=0, unchanged=0, invalid=0, mapped=0, unmapped=0):
    return {"to create": created, "to update": updated, "unchanged": unchanged, "invalid": invalid,
            "with a process": mapped, "without one": unmapped}


def everything(client, path):
    rows, token = [], ""
    while True:
        page = client.get(f"{path}?page_size=500" + (f"&page_token={token}" if token else "")).body
        rows += page["data"]
        token = page.get("next_page_token", "")
        if not token:
            return rows


def take_over(provider, file, map_file, rows, skipped):
    """Dry run, import, import again; checks what the program says and what is there. Returns mapped and unmapped."""
    command = ["import", file, "--map", map_file]
    dry = provider.shell(*command, "--dry-run").stdout
    assert f"Mapped {rows} rows" in dry and f"; {skipped} left out by skip_when" in dry and "--dry-run" in dry
    said = counts(dry)
    mapped, unmapped = said["with a process"], said["without one"]
    assert mapped + unmapped == rows
    assert said == expected(created=rows, mapped=mapped, unmapped=unmapped)
    assert provider.client.get("/v1/listings").body["data"] == []

    done = provider.shell(*command).stdout
    assert counts(done) == said and "Taken over." in done
    listings = everything(provider.client, "/v1/listings")
    assert len(listings) == len(everything(provider.client, "/v1/resources")) == rows
    assert {listing["state"] for listing in listings} == {"DRAFT"}
    processes = [listing.get("capability", {}).get("processes", []) for listing in listings]
    assert sum(map(bool, processes)) == mapped
    # A row that maps to no process claims no capability at all.
    assert sum("capability" not in listing for listing in listings) == unmapped

    again = provider.shell(*command).stdout
    assert counts(again) == expected(unchanged=rows, mapped=mapped, unmapped=unmapped)
    assert everything(provider.client, "/v1/listings") == listings
    return mapped, unmapped


@pytest.mark.parametrize("name", LISTS)
def test_public_equipment_list(provider, name):
    file = DATA / f"{name}.csv"
    if not file.exists():
        print("data folder absent")
        pytest.skip(f"data folder absent: {DATA}")
    with open(file, newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    column, text = LISTS[name] or ("", None)
    skipped = sum(row.get(column) == text for row in rows) if column else 0
    mapped, unmapped = take_over(provider, file, MAPS / f"{name}.yaml", len(rows) - skipped, skipped)
    print(f"{name}: {len(rows) - skipped} rows, {mapped} mapped, {unmapped} drafts without capability, {skipped} left out")
    assert mapped > 0


def test_a_list_like_them(provider, tmp_path):
    """The same with a list written here, so that it is tested where the data folder is absent."""
    file = tmp_path / "list.csv"
    file.write_text("name,department,site\n5-axis milling machine,Engineering,Suzhou\nQqzx thing,Engineering,Suzhou\n"
                    '"Laser cutting, fibre",Workshop,Wuxi\n')
    assert take_over(provider, file, MAPS / "university_equipment.yaml", 3, 0) == (2, 1)
    listings = {listing["external_id"]: listing for listing in everything(provider.client, "/v1/listings")}
    assert listings["UNI-3"]["capability"]["processes"] == ["separating.cutting.laser"]
    assert "capability" not in listings["UNI-2"]


CHINESE = f"编号,类型,名称,工艺,材料\nGB-1,设备,五轴加工中心,{PROCESS},aluminium;steel\nGB-2,设备,三坐标测量机,,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_encodings(provider, tmp_path, encoding):
    file = tmp_path / "chinese.csv"
    file.write_bytes(CHINESE.encode(encoding))
    assert counts(provider.shell("import", file).stdout)["to create"] == 2
    resources = everything(provider.client, "/v1/resources")
    assert {r["external_id"]: r["display_name"]["zh"] for r in resources} == {"GB-1": "五轴加工中心", "GB-2": "三坐标测量机"}


def test_neither_utf8_nor_gb18030(provider, tmp_path):
    file = tmp_path / "broken.csv"
    file.write_bytes(b"external_id,kind,name_en\nA-1,EQUIPMENT,\xff\xff\xff\n")
    assert "IMPORT_ENCODING" in provider.shell("import", file, status=1).stderr
    assert provider.client.get("/v1/resources").body["data"] == []


FAULTY = (f"external_id,kind,name_en,processes,units\nOK-1,EQUIPMENT,Mill,{PROCESS},1\nBAD-1,EQUIPMENT,Mill,no.such.process,1\n"
          f"BAD-2,EQUIPMENT,Mill,{PROCESS},many\n,EQUIPMENT,Mill,{PROCESS},1\nBAD-3,SPACESHIP,Mill,{PROCESS},1\nOK-2,EQUIPMENT,Saw,,2\n"
          f"OK-1,EQUIPMENT,Mill again,{PROCESS},1\n")


def test_faulty_rows_stop_the_file(provider, tmp_path):
    file = tmp_path / "faulty.csv"
    file.write_text(FAULTY)
    for extra in ([], ["--dry-run"]):
        done = provider.shell("import", file, *extra, status=1)
        assert counts(done.stdout)["invalid"] == 5
        for row, column in ((3, "processes"), (4, "units"), (5, "external_id"), (6, "kind"), (8, "external_id")):
            assert f"row {row}, column {column}: " in done.stdout, done.stdout
    assert provider.client.get("/v1/resources").body["data"] == []
    # The way out that the refusal names works.
    refused = provider.shell("import", file, status=1).stderr
    assert "--skip-invalid" in refused
    id = re.search(r"`millrace imports failed_rows (imp_\w+)`", refused)[1]
    rows = list(csv.DictReader(provider.shell("imports", "failed_rows", id).stdout.removeprefix("\ufeff").splitlines()))
    assert [row["external_id"] for row in rows] == ["BAD-1", "BAD-2", "", "BAD-3", "OK-1"]
    assert all(row["_code"] and row["_message"] for row in rows)


def test_skip_invalid_takes_the_rest(provider, tmp_path):
    file = tmp_path / "faulty.csv"
    file.write_text(FAULTY)
    done = provider.shell("import", file, "--skip-invalid").stdout
    assert counts(done) | {"with a process": 0, "without one": 0} == expected(created=2, invalid=5)
    assert {r["external_id"] for r in everything(provider.client, "/v1/resources")} == {"OK-1", "OK-2"}


def test_publish(provider, tmp_path):
    file = tmp_path / "priced.csv"
    file.write_text("external_id,kind,name_en,processes,hourly_price_fen,vat_rate_bp,calendar\n"
                    f"P-1,EQUIPMENT,Mill,{PROCESS},26000,1300,two_shift\nP-2,EQUIPMENT,Mill,{PROCESS},,,\n")
    provider.shell("import", file, "--publish")
    states = {listing["external_id"]: listing["state"] for listing in everything(provider.client, "/v1/listings")}
    # A provider without history is published after a review.
    assert states["P-1"] in ("PUBLISHED", "IN_REVIEW") and states["P-2"] == "DRAFT"


def test_unknown_column(provider, tmp_path):
    file = tmp_path / "columns.csv"
    file.write_text("external_id,kind,name_en,colour\nA,EQUIPMENT,Mill,red\n")
    refused = provider.shell("import", file, status=1).stderr
    assert "IMPORT_HEADER" in refused and "colour" in refused


@pytest.mark.parametrize("content", [b"", b"\n", b"external_id,kind,name_en\n"])
def test_nothing_in_it(provider, tmp_path, content):
    file = tmp_path / "empty.csv"
    file.write_bytes(content)
    done = provider.shell("import", file, "--dry-run", status=0 if b"kind" in content else 1)
    assert (done.stdout if b"kind" in content else done.stderr).strip()


GOOD_MAP = "kind: EQUIPMENT\nexternal_id: {row: true}\nname_en: {column: name}\n"


@pytest.mark.parametrize("map_text, sentence", [
    (GOOD_MAP.replace("name}", "title}"), "the file has no column title"),
    (GOOD_MAP.replace("kind: EQUIPMENT\n", ""), "the map lacks kind"),
    ("kind: EQUIPMENT\nname_en: {column: name}\n", "the map lacks external_id"),
    ("kind: EQUIPMENT\nexternal_id: {row: true}\n", "the map needs name_en or name_zh"),
    (GOOD_MAP + "colour: red\n", "unknown key colour"),
    (GOOD_MAP + "units: {column: name, text: a}\n", "exactly one of column, row, text"),
    (GOOD_MAP + "units: {column: name, scale: much}\n", "scale must be a decimal number"),
    (GOOD_MAP + "skip_when: {column: name}\n", "skip_when needs column and equals"),
    (GOOD_MAP + "units: 3\n", "units must be a mapping"),
    ("kind: [", "not valid YAML"),
    ("", "top level must be a mapping"),
    (GOOD_MAP + "attributes: [1]\n", "attributes must be a mapping"),
])
def test_faults_of_a_map(provider, tmp_path, map_text, sentence):
    (tmp_path / "list.csv").write_text("name\nMill\n")
    (tmp_path / "map.yaml").write_text(map_text)
    done = provider.shell("import", tmp_path / "list.csv", "--map", tmp_path / "map.yaml", status=2)
    assert sentence in done.stderr, done.stderr


def test_rows_that_do_not_fit_the_map(provider, tmp_path):
    (tmp_path / "list.csv").write_text("name,travel_m\nMill,0.5\nMill,0.0005\nMill,wide\n")
    (tmp_path / "map.yaml").write_text(GOOD_MAP + "attributes:\n  travel_x_mm: {column: travel_m, scale: 1000}\n")
    command = ["import", tmp_path / "list.csv", "--map", tmp_path / "map.yaml"]
    done = provider.shell(*command, status=1)
    for line in ('row 3, column travel_m: "0.0005" does not fit', 'row 4, column travel_m: "wide" does not fit'):
        assert line in done.stdout, done.stdout
    assert "--skip-invalid" in done.stderr
    provider.shell(*command, "--skip-invalid")
    resources = everything(provider.client, "/v1/resources")
    assert [r["attributes"]["equipment"]["travel_x_mm"] for r in resources] in ([500], ["500"])


def test_files_that_are_not_there(provider, tmp_path):
    assert "cannot be read" in provider.shell("import", tmp_path / "none.csv", status=2).stderr
    (tmp_path / "list.csv").write_text("name\nMill\n")
    done = provider.shell("import", tmp_path / "list.csv", "--map", tmp_path / "none.yaml", status=2)
    assert "none.yaml cannot be read" in done.stderr


def test_an_import_needs_a_key_that_holds(world, tmp_path):
    (tmp_path / "list.csv").write_text("external_id,kind,name_en\nA,EQUIPMENT,Mill\n")
    done = Shell(world.platform.data, "sk_test_wrong")("import", tmp_path / "list.csv", status=4)
    assert "MILLRACE_KEY" in done.stderr
