# SPDX-License-Identifier: Apache-2.0
"""From a clean clone to green tests, without a compiler cache: build, tests, a rebuild with nothing changed, one touched app file."""
import os
import shutil
import subprocess
import tempfile
import time

import kit


def main():
    folder = tempfile.mkdtemp(prefix="millrace-build-")
    clone = f"{folder}/millrace"
    kit.seconds(["git", "clone", "-q", "--no-hardlinks", kit.ROOT, clone])
    kit.seconds(["scripts/install", "test"], cwd=clone)
    kit.say("building a clean clone without ccache")
    began = time.monotonic()
    os.environ["CCACHE_DISABLE"] = "1"  # the fuzz targets, which the tests build, are compiled anew too
    kit.seconds(["cmake", "--preset", "test"], cwd=clone)
    kit.seconds(["ninja", "-C", "build/test"], cwd=clone)
    kit.seconds(["scripts/build", "fuzz", "fuzzers"], cwd=clone)
    build_s = time.monotonic() - began
    kit.say(f"  built in {build_s:.0f} s; running the tests")
    test_s = kit.seconds(["scripts/test"], cwd=clone)
    kit.say(f"  green in {test_s:.0f} s")
    rebuild_s = min(kit.seconds(["ninja", "-C", "build/test"], cwd=clone) for _ in range(3))
    touched = subprocess.run("ls services/operations/app/*.cpp | grep -v _test | head -1", shell=True, cwd=clone, capture_output=True,
                             text=True, check=True).stdout.strip()
    os.utime(f"{clone}/{touched}")
    touch_s = kit.seconds(["ninja", "-C", "build/test", "millrace"], cwd=clone)
    kit.say(f"  no change {rebuild_s:.2f} s; {touched} touched, relinked in {touch_s:.1f} s")
    shutil.rmtree(folder)
    kit.finish({"build_s": round(build_s, 1), "test_s": round(test_s, 1), "no_change_s": round(rebuild_s, 2), "touch_app_s": round(touch_s, 1)})


if __name__ == "__main__":
    main()
