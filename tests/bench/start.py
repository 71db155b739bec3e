# SPDX-License-Identifier: Apache-2.0
"""How long a start takes, how long the whole story takes, and what an idle process holds in memory."""
import statistics
import subprocess
import time

import kit


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def main():
    kit.seconds(["scripts/build", "test", "millrace", "millrace-custodian"], cwd=kit.ROOT)
    program = f"{kit.ROOT}/build/test/bin/millrace"
    first = kit.Instance(program)
    kit.say(f"first start with the sample catalogue: {first.start_s:.2f} s; fdatasync {kit.fsync_us(first.data)} us")
    first.stop(remove=False)
    starts = []
    for number in range(3):
        instance = kit.Instance(program, data=first.data)
        starts.append(instance.start_s)
        if number < 2:
            instance.stop(remove=False)
    kit.say("second starts: " + ", ".join(f"{s:.2f} s" for s in starts))
    time.sleep(5)
    idle = resident_mb(instance.info["processes"]["all"])
    stories = [kit.seconds([program, "demo", "--instance", instance.data]) for _ in range(3)]
    kit.say(f"idle resident memory {idle:.0f} MB; stories: " + ", ".join(f"{s:.2f} s" for s in stories))
    after = resident_mb(instance.info["processes"]["all"])
    instance.stop()
    kit.finish({"second_start_s": round(statistics.median(starts), 2), "story_s": round(statistics.median(stories), 2),
                "idle_rss_mb": round(idle, 1), "rss_after_stories_mb": round(after, 1), "first_start_s": round(first.start_s, 2)})


if __name__ == "__main__":
    main()
