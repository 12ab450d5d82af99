# SPDX-License-Identifier: GPL-3.0-or-later
"""First passwords of a class: made once, kept with their hashes in a file of the controller's user, mode 0600."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

COLUMNS = ("name", "password", "password_hash")
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that look alike on paper."""
ROUNDS = 5000
"""Those of `openssl passwd -6`; the passwords have 59 random bits."""
LOCK_SECONDS = 60.0

Rows = dict[str, dict[str, str]]


def path_of(class_list: Path) -> Path:
    """Return the file with the passwords of a class list: class-2026.passwords.csv next to class-2026.csv."""
    return class_list.with_name(f"{class_list.stem}.passwords.csv")


def start_passwords(path: Path, names: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return the hash of each user's start password, and how many passwords were made.

    Passwords that the file has stay, also those of users who have left. Raises ImportError without the library passlib,
    OSError and ValueError where the file cannot be read or written.
    """
    rows = _read(path)
    missing = [name for name in names if name not in rows]
    if missing:
        # Ansible evaluates variables of several hosts at the same time.
        with _locked(path.parent):
            rows = _read(path)
            missing = [name for name in names if name not in rows]
            rows |= {name: _new(name) for name in missing}
            _write(path, rows)
    return {name: rows[name]["password_hash"] for name in names}, len(missing)


def _new(name: str) -> dict[str, str]:
    from passlib.hash import sha512_crypt

    password = "-".join("".join(secrets.choice(LETTERS) for _letter in range(4)) for _group in range(3))
    hashed = sha512_crypt.using(rounds=ROUNDS).hash(password)  # type: ignore[no-untyped-call]
    return {"name": name, "password": password, "password_hash": hashed}


def _read(path: Path) -> Rows:
    """Return the rows by user, and close the file to others."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}")
    return {row["name"]: row for row in reader}


def _write(path: Path, rows: Rows) -> None:
    """Write all rows into a new file, and put it into the place of the old one."""
    # Made with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows.values())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; raise TimeoutError when another process holds it too long."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process has locked {directory} for {LOCK_SECONDS:.0f} s") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
