# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of the broker: its state and its audit log. A change is committed before it takes effect."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpulab_gpud import records
from gpulab_gpud.clock import Clock, uptime
from gpulab_gpud.core.model import Event, Process, State

PATH = Path("/var/lib/gpulab/gpu/gpu.sqlite")
VERSION = 1
LOCK_SECONDS = 10.0
KEPT_SECONDS = 400 * 86400
"""Age up to which the audit log is kept."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (kind TEXT, key TEXT, text TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, wall REAL NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, user TEXT NOT NULL,
    request INTEGER NOT NULL, actor TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_request ON audit (request);
"""


class Unusable(Exception):
    """A database that this release cannot read."""


@dataclass(frozen=True)
class Entry:
    """A line of the audit log."""

    wall: float
    kind: str
    user: str
    request: int
    actor: str
    text: str


class Store:
    """The database, with one writer at a time."""

    def __init__(self, path: Path = PATH) -> None:
        self._database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            # After a power failure the last changes may be missing; the processes they were for have ended with it.
            self._database.execute("PRAGMA synchronous=NORMAL")
            version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise Unusable(f"{path} was written by a later release (format {version}). Install that release again.")
            self._database.executescript(SCHEMA)
            self._database.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.DatabaseError as error:
            raise Unusable(f"{path} cannot be read: {error}. Move it away to start without any grants.") from error
        self._stored = State()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def load(self) -> tuple[State, Clock, bool]:
        """Return the stored state, the clock that continues its time, and whether there was a state."""
        rows = self._database.execute("SELECT kind, key, text FROM records").fetchall()
        found = {(str(kind), str(key)): str(text) for kind, key, text in rows}
        boot, at = found.pop(("meta", "boot"), ""), found.pop(("meta", "uptime"), "0")
        found.pop(("meta", "spared"), None)
        # Numbers of requests are never used again, also after the removal and a new installation.
        last = int(self._database.execute("SELECT COALESCE(MAX(request), 0) FROM audit").fetchone()[0])
        self._stored = records.decode(found) if found else State(next_id=last + 1)
        return self._stored, Clock(self._stored.now, float(at), boot), bool(found)

    def save(self, state: State, events: Iterable[Event], clock: Clock, actor: str) -> None:
        """Commit a state with the events that led to it."""
        changed, removed = records.changes(self._stored, state)
        changed[("meta", "boot")], changed[("meta", "uptime")] = clock.boot, repr(uptime())
        wall = time.time()
        lines = [(wall, item.at, item.kind, item.user, item.request, actor, item.text) for item in events]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?)", [(*key, text) for key, text in changed.items()]
            )
            self._database.executemany("DELETE FROM records WHERE kind = ? AND key = ?", removed)
            self._database.executemany(
                "INSERT INTO audit (wall, at, kind, user, request, actor, text) VALUES (?, ?, ?, ?, ?, ?, ?)", lines
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._stored = state

    def audit(self, request: int) -> list[Entry]:
        """Return what happened to a request, the oldest first."""
        rows = self._database.execute(
            "SELECT wall, kind, user, request, actor, text FROM audit WHERE request = ? ORDER BY id LIMIT 100",
            (request,),
        )
        return [Entry(*row) for row in rows]

    def spare(self, processes: Iterable[Process]) -> None:
        """Store the processes that used a GPU before sharing was switched on."""
        text = json.dumps([[process.pid, process.started] for process in processes])
        self._database.execute("INSERT OR REPLACE INTO records VALUES ('meta', 'spared', ?)", (text,))

    def spared(self) -> list[Process]:
        """Return those processes."""
        row = self._database.execute("SELECT text FROM records WHERE kind = 'meta' AND key = 'spared'").fetchone()
        return [Process(*values) for values in json.loads(row[0])] if row else []

    def clear(self) -> None:
        """Delete the state, and record that. The audit log stays."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("DELETE FROM records")
        self._database.execute(
            "INSERT INTO audit (wall, at, kind, user, request, actor, text) VALUES (?, 0, 'removed', '', 0, 'root', ?)",
            (time.time(), "sharing was switched off"),
        )
        self._database.execute("COMMIT")

    def prune(self) -> None:
        """Delete old lines of the audit log."""
        self._database.execute("DELETE FROM audit WHERE wall < ?", (time.time() - KEPT_SECONDS,))
