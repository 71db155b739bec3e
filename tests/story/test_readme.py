# SPDX-License-Identifier: Apache-2.0
"""What the READMEs show, run as it stands: a whole trade with curl and jq in one shell, and the Python client's example."""
import json
import os
import re
import subprocess
import sys

from cli import run
from local_platform import ROOT

README = ROOT / "README.md"


def test_the_first_calls_trade(platform):
    section = README.read_text(encoding="utf-8").split("## First calls")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, re.M | re.S)
    script, places = re.subn(r"^D=\S+", f"D={platform.data}/dev.json", "".join(blocks), flags=re.M)
    assert places == 1
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stderr == "", ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:2] == ['["示例苏州机械有限公司","VERIFIED"]', '["示例苏州小微科技有限公司","VERIFIED"]'], ran.stdout
    for said in ['["CONFIRMED",', '["PAID_OUT",', "id: evt_", "event: review.published", '["APPROVED",', '["sk_test_']:
        assert said in ran.stdout, f"{said} is missing in:\n{ran.stdout}"
    states = [line for line in lines if re.fullmatch(r"[A-Z_]+", line)]
    assert states[-2:] == ["HIDDEN", "PUBLISHED"] and "CLOSED" in states, ran.stdout
    escrow = json.loads(next(line for line in lines if line.startswith('["PAID_OUT",')))
    captured, fee, payout, returned = (int(money["amount"]) for money in escrow[1:])
    assert captured == fee + payout == 80000 and returned == 50000


def test_the_python_example(world):
    page = (ROOT / "clients/python/README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```", page, re.M | re.S)[1]
    party = world.organization("蟒蛇企业")
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, env=os.environ | {
        "MILLRACE_URL": world.platform.instance["url"], "MILLRACE_KEY": party.secret, "PYTHONPATH": str(ROOT / "clients/python")})
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "asking as 蟒蛇企业" and "because" in lines[1]
    assert lines[2] == "replayed True" and sorted(eval(lines[3].removeprefix("mine: "))) == ["Jig", "Lathe"]


def test_what_the_readme_shows_of_the_command_line(world):
    """Each line of it names a command, a verb and flags that are there."""
    section = README.read_text(encoding="utf-8").split("## Command line")[1].split("\n## ")[0]
    lines = re.findall(r"^millrace (.*?)(?: +#.*)?$", re.search(r"^```\n(.*?)^```", section, re.M | re.S)[1], re.M)
    assert len(lines) == 7
    for line in lines:
        words = line.split()
        flags = [word for word in words if word.startswith("--")]
        command = [word for word in words[:2] if not word.startswith("--") and "." not in word]
        told = run(*command, "--help").stdout
        assert told and all(flag in told for flag in flags), line
    assert world.organization("读我企业").id in run("organizations", "list", "--all", "--instance", world.platform.data).stdout


def test_the_readme_lists_listings_in_python(world):
    listing = world.listing(world.organization("列表企业"))
    example = re.search(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)[1]
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, env=os.environ | {
        "MILLRACE_URL": world.platform.instance["url"], "MILLRACE_KEY": world.platform.instance["operator_key"],
        "PYTHONPATH": str(ROOT / "clients/python")})
    assert ran.returncode == 0 and f"{listing['id']} CNY" in ran.stdout, ran
