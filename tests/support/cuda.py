# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with CUDA toolkits, and a user who compiles on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.lab import LOCAL, Lab, Outcome

RECORD = "/var/lib/gpulab/cuda.json"
PROGRAM = "__global__ void f(float *x) { x[0] = 1; } int main() { f<<<1, 1>>>(nullptr); return 0; }"
"""A program with code for the GPU, which a host without one can compile and link."""


class CudaHost(Lab):
    """A host to which tests apply the role."""

    def __init__(self) -> None:
        super().__init__(LOCAL, "cuda")
        self.base: dict[str, Any] = {}

    def apply(self, *versions: str, **options: Any) -> Outcome:
        """Run the role with these versions and options."""
        return self.play("molecule/cuda/apply.yml", **{"cuda_versions": list(versions), **self.base, **options})

    def check_mode(self, *versions: str, **options: Any) -> Outcome:
        """Run the role in check mode."""
        return self.play("molecule/cuda/apply.yml", "--check", **{"cuda_versions": list(versions), **options})

    def output(self, command: str) -> str:
        """Return the output of a command, which may fail."""
        return self.within("sh", "-c", f"{{ {command}; }} 2>&1 || :")

    def record(self) -> dict[str, Any]:
        """Return the role's record of its toolkits; empty where there is none."""
        return dict(json.loads(self.output(f"cat {RECORD} 2>/dev/null || echo '{{}}'")))

    def packages(self) -> set[str]:
        """Return the names of all installed packages."""
        listed = self.within("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n")
        return {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}

    def files(self) -> list[str]:
        """Return the files of toolkits; the download cache and the documents of packages are not among them."""
        directories = "/etc /opt /usr/local /var/lib/gpulab"
        only = "-ipath '*cuda*' -not -path '*/site-packages/*'"
        return self.output(f"find {directories} {only} 2>/dev/null").splitlines()

    def logged_in(self, name: str, command: str) -> str:
        """Run a command in a login session of a user, and return its output and its exit code."""
        return self.output(f"su --login {name} --command '{command}'; echo exit $?")

    @contextmanager
    def user(self, name: str) -> Iterator[str]:
        """Yield the name of a user without any rights, who has the program in the home."""
        self.within("useradd", "--create-home", "--shell", "/bin/bash", name)
        self.within("sh", "-c", f"printf '%s\\n' '{PROGRAM}' > /home/{name}/program.cu")
        yield name
        self.within("userdel", "--remove", "--force", name)
