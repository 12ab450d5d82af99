# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with CUDA toolkits and cuDNN, and a user who compiles on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.lab import LOCAL, Lab, Outcome

RECORD = "/var/lib/gpulab/cuda.json"
PROGRAM = "__global__ void f(float *x) { x[0] = 1; } int main() { f<<<1, 1>>>(nullptr); return 0; }"
"""A program with code for the GPU, which a host without one can compile and link."""
CUDNN_PROGRAM = """#include <cstdio>
#include <cudnn.h>
int main() {
    size_t v = cudnnGetVersion();
    printf("cuDNN %zu.%zu\\n", v / 10000, v / 100 % 100);
    return v == CUDNN_VERSION ? 0 : 1;
}"""
"""A program that loads cuDNN and prints its release; it needs no GPU."""


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

    def apply_cudnn(self, *options: str, **variables: Any) -> Outcome:
        """Run the role cudnn with these options."""
        return self.play("tests/integration/cuda/cudnn.yml", *options, **{**self.base, **variables})

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
        only = "'(' -ipath '*cuda*' -o -ipath '*cudnn*' ')' -not -path '*/site-packages/*'"
        return self.output(f"find {directories} {only} 2>/dev/null").splitlines()

    def logged_in(self, name: str, command: str) -> str:
        """Run a command in a login session of a user, and return its output and its exit code."""
        return self.output(f"su --login {name} --command '{command}'; echo exit $?")

    def cudnn_files(self) -> list[str]:
        """Return the files of cuDNN."""
        return [path for path in self.files() if "cudnn" in path]

    @contextmanager
    def user(self, name: str) -> Iterator[str]:
        """Yield the name of a user without any rights, who has the program in the home."""
        self.within("useradd", "--create-home", "--shell", "/bin/bash", name)
        for file, text in (("program", PROGRAM), ("cudnn", CUDNN_PROGRAM)):
            self.within("sh", "-c", f"printf '%s\\n' '{text}' > /home/{name}/{file}.cu")
        yield name
        self.within("userdel", "--remove", "--force", name)
