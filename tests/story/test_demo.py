# SPDX-License-Identifier: Apache-2.0
"""`millrace demo`, the golden story, in both shapes: one process over the sample catalogue, and every service apart."""
import re
import subprocess

import pytest

from local_platform import Platform, program


@pytest.fixture
def sample_platform():
    started = Platform(sample=True)
    yield started
    started.stop()


@pytest.mark.parametrize("shape", ["sample_platform", "split_platform"], ids=["one process", "every service apart"])
def test_the_demo_tells_the_whole_trade(shape, request):
    platform = request.getfixturevalue(shape)
    for run in range(2):  # a second one on the same instance, whose clock the first has moved
        told = subprocess.run([str(program()), "demo", "--instance", str(platform.data)], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stdout[-3000:] + told.stderr + platform.logs()
        assert [int(n) for n in re.findall(r"^(\d+)\. ", told.stdout, re.M)] == list(range(1, 11))
        assert "→ 409" in told.stdout and "BOOKING_CONFLICT" in told.stdout and "NOT_ACCEPTED_YET" in told.stdout
        assert "FAILS" not in told.stdout and told.stdout.count("   holds ") == 6
        if run == 0:
            assert re.search(r"provider: grade N → N, score 600\.0 → ", told.stdout)
            assert re.search(r"provider: grade N → B, score ", told.stdout)
    verified = subprocess.run([str(program()), "verify", "--instance", str(platform.data)], capture_output=True, text=True, timeout=30)
    assert verified.returncode == 0, verified.stdout + verified.stderr
