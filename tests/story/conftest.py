# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from local_platform import Platform  # noqa: E402
from world import World  # noqa: E402


@pytest.fixture(scope="module")
def platform():
    """One platform for a module's stories: all roles in one process, a test clock, no sample."""
    started = Platform()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def world(platform):
    return World(platform)


@pytest.fixture
def split_world():
    """Makes a platform of its own for one test: every service a process. Arguments as Platform's."""
    started = []

    def start(**arguments):
        started.append(Platform(split=True, **arguments))
        return World(started[-1])

    yield start
    for one in started:
        one.stop()


@pytest.fixture(autouse=True)
def books_are_right(request):
    """Whatever a story on the shared platform did, the ledger verifies behind it."""
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").verify_ledger()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed story shows the ends of the platform's logs."""
    outcome = yield
    report = outcome.get_result()
    world = item.funcargs.get("world") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and world:
        report.sections.append(("platform logs", world.platform.logs()))
