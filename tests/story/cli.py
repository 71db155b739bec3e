# SPDX-License-Identifier: Apache-2.0
"""Runs the program as a person at a terminal does."""
import os
import subprocess

from local_platform import program


def environment(**more):
    """This process's, without settings of Millrace or of the person, and with English answers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    return kept | {"LANG": "C.UTF-8", "XDG_CONFIG_HOME": "/nonexistent"} | more


def run(*arguments, stdin=None, cwd=None, timeout=60, **variables):
    """The finished process with text output; whatever its exit status."""
    return subprocess.run([str(program()), *map(str, arguments)], input=stdin, cwd=cwd, timeout=timeout, text=True,
                          capture_output=True, env=environment(**variables))


class Shell:
    """The program asked by one party of the platform on a folder; without a key by the operator."""

    def __init__(self, folder, key=None):
        self.target = ["--instance", str(folder)] + (["--key", key] if key is not None else [])

    def __call__(self, *arguments, status=0, **more):
        done = run(*arguments, *self.target, **more)
        assert done.returncode == status, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
