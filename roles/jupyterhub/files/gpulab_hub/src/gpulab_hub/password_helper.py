# SPDX-License-Identifier: GPL-3.0-or-later
"""Root helper that checks passwords for the hub, which runs without root.

systemd starts one instance per connection (gpulab-password@.service) with the connection as standard input. It reads
one request, a line of JSON, and answers with one line of JSON:

    {"action": "check", "name": NAME, "password": PASSWORD}
        -> {"result": R, "reason": SENTENCE, "fingerprint": F}, where R is ok, wrong, expired, must_change, not_allowed
           or unavailable. Only ok has a `fingerprint` (gpulab_hub.shadow.Record.fingerprint).
    {"action": "status"}
        -> {"result": "ok", "accounts": {NAME: {"fingerprint": F, "may_log_in": BOOL, "reason": SENTENCE}}}
           for the members of the users' group

Passwords and hashes are never printed or logged. The hub delays the answer to a failed check, so PAM does not.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from ctypes import CDLL, CFUNCTYPE, c_char_p, c_int, c_uint, c_void_p, cast
from pathlib import Path
from typing import Any
from zlib import crc32

from gpulab_hub.helper_socket import BadRequest, check_peer, read_request
from gpulab_hub.shadow import EXPIRED, MUST_CHANGE, SHADOW, STALE, Record, records

PASSWD = Path("/etc/passwd")
SERVICE = "gpulab-hub"
LONGEST_REQUEST = 4096
"""Bytes of a request with its newline."""
PATIENCE = 5.0
"""Seconds that a peer has to send its request, and to read the answer."""
# security/_pam_types.h of Linux-PAM
PAM_SUCCESS, PAM_OPEN_ERR, PAM_SYSTEM_ERR, PAM_SERVICE_ERR, PAM_BUF_ERR = 0, 1, 4, 3, 5
PAM_NEW_AUTHTOK_REQD, PAM_ACCT_EXPIRED, PAM_CRED_EXPIRED, PAM_AUTHTOK_EXPIRED = 12, 13, 16, 27
PAM_AUTHINFO_UNAVAIL, PAM_ABORT = 9, 26
PAM_FAIL_DELAY = 10
BROKEN = {PAM_OPEN_ERR, PAM_SERVICE_ERR, PAM_SYSTEM_ERR, PAM_BUF_ERR, PAM_AUTHINFO_UNAVAIL, PAM_ABORT}
"""Codes of a broken PAM or directory service: the password may be right."""
UNAVAILABLE = "Passwords cannot be checked at the moment: try again, or ask an administrator."
NOT_ALLOWED = "Your account may not log in here: ask an administrator."

Answer = dict[str, Any]
Pam = Callable[[str, str], tuple[int, int]]
"""Check a name and a password; return the codes of pam_authenticate and pam_acct_mgmt."""


@CFUNCTYPE(None, c_int, c_uint, c_void_p)  # type: ignore[untyped-decorator]
def no_delay(_status: int, _microseconds: int, _data: int | None) -> None:
    """Return at once where PAM would wait after a wrong password: this instance holds one of few connections."""


def check_with_pam(name: str, password: str) -> tuple[int, int]:
    """Check a name and a password with PAM, through the bindings of pamela; return the two codes of Pam."""
    import pamela  # loads libpam

    conversation = pamela.new_simple_password_conv((password,), "utf-8")
    handle = pamela.pam_start(SERVICE, name, conv_func=conversation)
    code: int = pamela.PAM_SET_ITEM(handle, PAM_FAIL_DELAY, cast(no_delay, c_char_p))
    if code == PAM_SUCCESS:
        code = pamela.PAM_AUTHENTICATE(handle, 0)
    account: int = pamela.PAM_ACCT_MGMT(handle, 0) if code == PAM_SUCCESS else code
    pamela.PAM_END(handle, account)
    return code, account


def compute_dummy_hash(name: str, password: str, accounts: dict[str, Record]) -> None:
    """Compute a hash for a name without one, so that its rejection takes as long as a wrong password.

    A name always uses the hash of the same account, so that repeated attempts do not reveal it either.
    """
    hashes = sorted(record.password for record in accounts.values() if record.usable)
    if hashes:
        crypt = CDLL("libcrypt.so.1").crypt
        crypt.restype, crypt.argtypes = c_char_p, [c_char_p, c_char_p]
        crypt(password.encode(), hashes[crc32(name.encode()) % len(hashes)].encode())


def read_records() -> dict[str, Record]:
    """Return the records of shadow(5) by name."""
    return records(SHADOW.read_text(encoding="utf-8", errors="replace"))


def check(name: str, password: str, pam: Pam = check_with_pam) -> Answer:
    """Return the answer to one password check. Results other than "wrong" require the right password."""
    # Read first: when the password changes during the check, the login has the former fingerprint and ends soon.
    accounts = read_records()
    record = accounts.get(name)
    code, account = pam(name, password)
    if code in BROKEN or (code == PAM_SUCCESS and account in BROKEN):
        return {"result": "unavailable", "reason": UNAVAILABLE}
    if code != PAM_SUCCESS:
        if record is None or not record.usable:
            compute_dummy_hash(name, password, accounts)
        return {"result": "wrong", "reason": ""}
    if account == PAM_SUCCESS:
        return {"result": "ok", "reason": "", "fingerprint": record.fingerprint if record else None}
    if account == PAM_NEW_AUTHTOK_REQD:
        return {"result": "must_change", "reason": MUST_CHANGE}
    # Where pam_deny hides the code of a module (Debian's common-account), shadow(5) has the reason.
    result, reason = record.problem(today()) if record else ("", "")
    if not result and account in (PAM_ACCT_EXPIRED, PAM_CRED_EXPIRED, PAM_AUTHTOK_EXPIRED):
        result, reason = "expired", EXPIRED if account == PAM_ACCT_EXPIRED else STALE
    return {"result": result or "not_allowed", "reason": reason or NOT_ALLOWED}


def status(group: str) -> Answer:
    """Return the state of all members of a group, from one read of shadow(5).

    A member whose password is in a directory service has the fingerprint None. Primary members are read from passwd(5)
    only, since a directory service may have very many accounts.
    """
    entry, records_by_name, day = grp.getgrnam(group), read_records(), today()
    lines = [line.split(":") for line in PASSWD.read_text(encoding="utf-8", errors="replace").splitlines()]
    primary = {fields[0] for fields in lines if len(fields) > 3 and fields[3] == str(entry.gr_gid)}
    accounts = {}
    for name in sorted(primary | set(entry.gr_mem)):
        record = records_by_name.get(name)
        result, reason = record.problem(day) if record else ("", "")
        fingerprint = record.fingerprint if record else None
        accounts[name] = {"fingerprint": fingerprint, "may_log_in": not result, "reason": reason}
    return {"result": "ok", "accounts": accounts}


def today() -> int:
    """Return the day in UTC, as shadow(5) counts it."""
    return int(time.time() // 86400)


def answer(request: dict[str, Any], group: str) -> Answer:
    """Return the answer to one request; raise BadRequest for an unknown one."""
    if not all(isinstance(value, str) for value in request.values()):
        raise BadRequest("the request is not an object of strings")
    if set(request) == {"action"} and request["action"] == "status":
        return status(group)
    if set(request) == {"action", "name", "password"} and request["action"] == "check":
        if "\0" in request["name"] + request["password"]:
            raise BadRequest("a name or password holds a null character")
        return check(request["name"], request["password"])
    raise BadRequest("the request is unknown")


def serve(connection: socket.socket, group: str, allowed: Sequence[str]) -> str:
    """Serve one connection; return a message for the log, or an empty text."""
    problem = ""
    try:
        check_peer(connection, allowed)
        result: Answer = answer(read_request(connection, LONGEST_REQUEST, PATIENCE), group)
    except BadRequest as error:
        result, problem = {"result": "unavailable"}, f"rejected a request: {error}"
    except (OSError, KeyError) as error:
        # The message holds no password: a file cannot be read, or the group does not exist.
        result, problem = {"result": "unavailable"}, f"failed: {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  # only its name: the message could hold what was sent
        result, problem = {"result": "unavailable"}, f"failed: {type(error).__name__}"
    result.setdefault("reason", "" if result["result"] == "ok" else UNAVAILABLE)
    connection.settimeout(PATIENCE)
    try:
        connection.sendall(json.dumps(result).encode() + b"\n")
    except OSError as error:
        problem = problem or f"the peer did not read the answer: {error}"
    return problem


def main() -> int:
    """Serve the connection on standard input."""
    parser = argparse.ArgumentParser(description="Check passwords for the hub.")
    parser.add_argument("--group", required=True, help="group of the users who may log in")
    parser.add_argument("--peer", action="append", default=[], help="account that may connect, in addition to root")
    arguments = parser.parse_args()
    with socket.socket(fileno=os.dup(0)) as connection:
        problem = serve(connection, arguments.group, ["root", *arguments.peer])
    if problem:
        print(f"gpulab password helper: {problem}", file=sys.stderr)  # noqa: T201  # the journal
    return 0


if __name__ == "__main__":
    sys.exit(main())
