# SPDX-License-Identifier: Apache-2.0
"""The README's first calls, run as they stand: curl and jq in one shell, a whole trade."""
import json
import pathlib
import re
import subprocess

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def test_the_first_calls_trade(platform):
    section = README.read_text(encoding="utf-8").split("## First calls")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, re.M | re.S)
    script, places = re.subn(r"^D=\S+", f"D={platform.data}/dev.json", "".join(blocks), flags=re.M)
    assert places == 1
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stderr == "", ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:2] == ['["示例苏州机械有限公司","VERIFIED"]', '["示例苏州小微科技有限公司","VERIFIED"]'], ran.stdout
    for said in ['["CONFIRMED",', '["PAID_OUT",', "id: evt_", "event: review.published"]:
        assert said in ran.stdout, f"{said} is missing in:\n{ran.stdout}"
    states = [line for line in lines if re.fullmatch(r"[A-Z_]+", line)]
    assert states[-2:] == ["HIDDEN", "PUBLISHED"] and "CLOSED" in states, ran.stdout
    escrow = json.loads(next(line for line in lines if line.startswith('["PAID_OUT",')))
    captured, fee, payout, returned = (int(money["amount"]) for money in escrow[1:])
    assert captured == fee + payout == 80000 and returned == 50000
