# SPDX-License-Identifier: GPL-3.0-or-later
"""A signed apt repository with the package names and dependencies of NVIDIA's, whose kernel modules build in seconds.

Its modules do nothing and its libraries are empty. It tests sources and versions of packages, and builds that fail. It
contains nothing of NVIDIA's.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.wheel_records import version_number
from tests.support.lab import Lab

TOOLKITS = ("12.6", "12.8")
CUDNN = ("9.28.1.4", "9.99.0.1")
"""The release that the role pins, and a newer one."""
CUDNN_PARTS = ("", "_graph", "_ops", "_cnn", "_adv", "_heuristic", "_engines_precompiled", "_engines_runtime_compiled")
GOOD, BETTER, BROKEN, EMPTY = "580.95.05", "580.126.09", "580.105.08", "615.36.01"
"""Two versions that build, one whose module does not build, and one whose package has no module."""

NVCC = """#!/bin/sh
# A fixture of gpulab's tests, not NVIDIA's compiler.
if [ "$1" = --version ]; then echo "Cuda compilation tools, release {version}, V{version}.93"; exit; fi
echo "$NVCC_PREPEND_FLAGS $*" >>/tmp/nvcc.log
while [ $# -gt 1 ]; do if [ "$1" = -o ]; then printf '#!/bin/sh\\n' >"$2"; chmod 0755 "$2"; fi; shift; done
"""

SOURCE = """#include <linux/module.h>
{fault}
static int __init gpulab_fixture_init(void) {{ return 0; }}
static void __exit gpulab_fixture_exit(void) {{ }}
module_init(gpulab_fixture_init);
module_exit(gpulab_fixture_exit);
MODULE_LICENSE("{licence}");
MODULE_VERSION("{version}");
MODULE_DESCRIPTION("a fixture of gpulab's tests; drives nothing");
"""

DKMS = """PACKAGE_NAME="nvidia"
PACKAGE_VERSION="{version}"
BUILT_MODULE_NAME[0]="nvidia"
DEST_MODULE_LOCATION[0]="/updates/dkms"
AUTOINSTALL="yes"
MAKE[0]="make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build modules"
CLEAN="true"
"""

POSTINST = """#!/bin/sh
set -e
case "$1" in configure) /usr/lib/dkms/common.postinst nvidia {version} "" "" "$2" ;; esac
"""

PRERM = """#!/bin/sh
set -e
dkms remove -m nvidia -v {version} --all || true
"""


@dataclass(frozen=True)
class Repository:
    """Its directory, and the checksum of its keyring."""

    directory: Path
    sha256: str


def package(
    pool: Path, name: str, version: str, depends: str = "", files: dict[str, str] | None = None, **fields: str
) -> None:
    """Build a package; files below DEBIAN/ are its scripts."""
    tree = pool.parent / "build" / f"{name}_{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = {
        "Package": name,
        "Version": version,
        "Architecture": "all" if name == "cuda-keyring" else "amd64",
        "Maintainer": "gpulab tests <tests@gpulab.invalid>",
        "Section": "kernel",
        "Priority": "optional",
        **({"Depends": depends} if depends else {}),
        **fields,
        "Description": "a fixture of gpulab's tests (contains nothing of NVIDIA's)",
    }
    (tree / "DEBIAN" / "control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    for path, text in (files or {}).items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("latin-1"))
        target.chmod(0o755 if path.startswith("DEBIAN/") or "/bin/" in path else 0o644)
    architecture = control["Architecture"]
    archive = pool / f"{name}_{version}_{architecture}.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(archive)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def driver(pool: Path, version: str) -> None:
    """Build the packages of one version, divided as NVIDIA's for Debian."""
    full, branch = f"{version}-1", version.partition(".")[0]
    for flavour, stem, licence in (
        ("open", "nvidia-kernel-open-dkms", "Dual MIT/GPL"),
        ("proprietary", "nvidia-kernel-dkms", "NVIDIA"),
    ):
        if version == EMPTY and flavour == "proprietary":
            continue
        directory = f"usr/src/nvidia-{version}"
        fault = "#error this version is made not to build" if version == BROKEN else ""
        files = {
            f"{directory}/nvidia.c": SOURCE.format(version=version, licence=licence, fault=fault),
            f"{directory}/Makefile": "obj-m := nvidia.o\n",
            f"{directory}/dkms.conf": DKMS.format(version=version),
            "DEBIAN/postinst": POSTINST.format(version=version),
            "DEBIAN/prerm": PRERM.format(version=version),
        }
        other = "nvidia-kernel-dkms" if flavour == "open" else "nvidia-kernel-open-dkms"
        package(
            pool,
            stem,
            full,
            "dkms",
            {} if version == EMPTY else files,
            Provides=f"nvidia-kernel-{branch}",
            Conflicts=other,
            Replaces=other,
        )
    libraries = {f"usr/lib/x86_64-linux-gnu/{name}.so.{version}": "" for name in ("libcuda", "libnvidia-ml")}
    package(pool, "libcuda1", full, "", libraries)
    package(pool, "nvidia-driver-cuda", full, f"libcuda1 (= {full})")
    unit = "[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    package(pool, "nvidia-persistenced", full, "", {"usr/lib/systemd/system/nvidia-persistenced.service": unit})
    package(pool, "nvidia-fabricmanager", full, "", {"usr/lib/systemd/system/nvidia-fabricmanager.service": unit})
    # Installs without a driver, like NVIDIA's own.
    package(pool, "cuda-drivers", full)


def keyring(pool: Path, home: Path) -> str:
    """Create the key and its package; return the checksum of the package."""
    environment = {**os.environ, "GNUPGHOME": str(home)}
    home.mkdir(mode=0o700)
    batch = ["gpg", "--batch", "--quiet", "--passphrase", ""]
    user = "gpulab tests <tests@gpulab.invalid>"
    subprocess.run(
        [*batch, "--quick-generate-key", user, "rsa3072", "sign", "1d"], check=True, timeout=120, env=environment
    )
    public = subprocess.run(["gpg", "--export"], check=True, timeout=120, env=environment, capture_output=True).stdout
    files = {"usr/share/keyrings/cuda-archive-keyring.gpg": public.decode("latin-1")}
    package(pool, "cuda-keyring", "1.1-1", files=files)
    return hashlib.sha256((pool / "cuda-keyring_1.1-1_all.deb").read_bytes()).hexdigest()


def build(directory: Path, system: str) -> Repository:
    """Build the repository for a system (debian12) below a directory."""
    pool = make_pool(directory, system)
    for version in (GOOD, BROKEN, BETTER, EMPTY):
        driver(pool, version)
    for branch in ("580", "615"):
        pin = f"Package: *nvidia* *cuda-drivers* libcuda1\nPin: version {branch}.*\nPin-Priority: 1000\n"
        name = f"nvidia-driver-pinning-{branch}"
        package(pool, name, f"{branch}-1", files={f"etc/apt/preferences.d/{name}": pin})
    return sign(directory, pool)


def build_toolkits(directory: Path, system: str) -> Repository:
    """Build a repository with two toolkits, whose nvcc is a script, and packages of a driver."""
    pool = make_pool(directory, system)
    for version in TOOLKITS:
        toolkit(pool, version)
    package(pool, "nvidia-driver-cuda", f"{GOOD}-1")
    package(pool, "nvidia-smi", "999.1-1")
    return sign(directory, pool)


def toolkit(pool: Path, version: str) -> None:
    """Build the packages of a toolkit: its nvcc prints its version and writes a program that does nothing."""
    name = version.replace(".", "-")
    script = NVCC.format(version=version)
    package(pool, f"cuda-nvcc-{name}", f"{version}.93-1", files={f"usr/local/cuda-{version}/bin/nvcc": script})
    package(pool, f"cuda-toolkit-{name}", f"{version}.1-1", f"cuda-nvcc-{name}")


def build_cudnn(directory: Path, system: str) -> Repository:
    """Build a repository with two toolkits, and cuDNN for CUDA 13 in the pinned release and in a newer one."""
    pool = make_pool(directory, system)
    for version in TOOLKITS:
        toolkit(pool, version)
    for version in CUDNN:
        cudnn(pool, version, 13)
    package(pool, "nvidia-smi", "999.1-1")
    return sign(directory, pool)


def cudnn(pool: Path, version: str, cuda: int) -> None:
    """Build the packages of a cuDNN that reports its version and cannot compute, divided as NVIDIA's."""
    number = str(version_number(version))
    libraries, headers = "usr/lib/x86_64-linux-gnu", "usr/include/x86_64-linux-gnu"
    files = {}
    for part in CUDNN_PARTS:
        with tempfile.TemporaryDirectory() as directory:
            library = Path(directory) / f"libcudnn{part}.so.9"
            options = [f"-DCUDNN_VERSION={number}", f"-DCUDA={cuda}", "-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
            command = ["gcc", *options, "-o", str(library), str(Path(__file__).with_name("cudnn.c"))]
            subprocess.run(command, check=True, timeout=120)
            files[f"{libraries}/{library.name}"] = library.read_bytes().decode("latin-1")
    header = Path(__file__).with_name("cudnn.h").read_text(encoding="utf-8")
    package(pool, f"libcudnn9-cuda-{cuda}", f"{version}-1", files=files)
    text = f"#define CUDNN_VERSION {number}\n{header}"
    package(pool, f"libcudnn9-headers-cuda-{cuda}", f"{version}-1", files={f"{headers}/cudnn.h": text})
    needs = ", ".join(f"libcudnn9-{part}cuda-{cuda} (= {version}-1)" for part in ("", "headers-"))
    link = f"/* GNU ld script */ INPUT ( /{libraries}/libcudnn.so.9 )\n"
    package(pool, f"libcudnn9-dev-cuda-{cuda}", f"{version}-1", needs, {f"{libraries}/libcudnn.so": link})


def make_pool(directory: Path, system: str) -> Path:
    """Make and return the directory of the packages."""
    pool = directory / "repos" / system / "x86_64"
    pool.mkdir(parents=True)
    return pool


def sign(directory: Path, pool: Path) -> Repository:
    """Write the signed lists of a repository, and the package of its key."""
    home = directory / "gnupg"
    sha256 = keyring(pool, home)
    entries = []
    for archive in sorted(pool.glob("*.deb")):
        control = subprocess.run(
            ["dpkg-deb", "--field", str(archive)], check=True, timeout=120, capture_output=True, text=True
        ).stdout
        data = archive.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        entries.append(f"{control.strip()}\nFilename: ./{archive.name}\nSize: {len(data)}\nSHA256: {digest}\n")
    listing = "\n".join(entries)
    (pool / "Packages").write_text(listing)
    digest = hashlib.sha256(listing.encode()).hexdigest()
    date = subprocess.run(["date", "-Ru"], check=True, timeout=120, capture_output=True, text=True).stdout
    release = f"Origin: NVIDIA\nLabel: NVIDIA CUDA\nDate: {date}Architectures: amd64\n"
    release += f"SHA256:\n {digest} {len(listing.encode())} Packages\n"
    (pool / "Release").write_text(release)
    subprocess.run(
        ["gpg", "--batch", "--yes", "--clearsign", "--output", str(pool / "InRelease"), str(pool / "Release")],
        check=True,
        timeout=120,
        capture_output=True,
        env={**os.environ, "GNUPGHOME": str(home)},
    )
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=120, capture_output=True)
    return Repository(directory / "repos", sha256)


def serve(lab: Lab, repository: Repository, port: int) -> None:
    """Copy a repository to a host, which then serves it to itself, also after restarts."""
    archive = subprocess.run(
        ["tar", "-C", str(repository.directory), "-cf", "-", "."], check=True, capture_output=True, timeout=120
    ).stdout
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive)
        file.flush()
        options = f"src={file.name} dest=/srv/vendor.tar mode=0644"
        done = lab.ansible("ansible", lab.host, "-m", "ansible.builtin.copy", "-a", options)
        assert done.returncode == 0, done.stdout
    lab.shell("mkdir -p /srv/vendor && tar -C /srv/vendor -xf /srv/vendor.tar")
    command = f"python3 -m http.server --protocol HTTP/1.1 --bind 127.0.0.1 --directory /srv/vendor {port}"
    unit = f"[Service]\\nExecStart={command}\\nRestart=always\\n[Install]\\nWantedBy=multi-user.target\\n"
    lab.shell(f"printf '{unit}' > /etc/systemd/system/vendor.service && systemctl enable --now vendor.service")
