# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from local_platform import Platform  # noqa: E402
from world import World  # noqa: E402


@pytest.fixture(scope="session")
def platform():
    """One platform for the stories of a run: all roles in one process, a test clock, no sample."""
    started = Platform()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def world(platform):
    return World(platform)


@pytest.fixture(scope="session")
def split_platform():
    """The same with every service a process."""
    started = Platform(split=True)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def split_world(split_platform):
    return World(split_platform)


@pytest.fixture(autouse=True)
def books_are_right(request):
    """Whatever a story on the shared platform did, the ledger verifies behind it."""
    yield
    for name in {"world", "split_world"} & set(request.fixturenames):
        request.getfixturevalue(name).verify_ledger()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed story shows the ends of the platform's logs."""
    outcome = yield
    report = outcome.get_result()
    found = getattr(item, "funcargs", {})
    world = found.get("world") or found.get("split_world")
    if report.when == "call" and report.failed and world:
        report.sections.append(("platform logs", world.platform.logs()))
