"""Every key in the store: name, type, lifetime, meaning. Nothing else makes a key.

All keys of a project share one prefix with one hash tag, so a cluster keeps a project on one node and a
shared server can hold many projects. The Lua scripts get the prefix and these names (scripts.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or with `is_family` one key per suffix (`queue:4294967296:1000`)."""

    name: str
    type: str
    lifetime: str
    meaning: str
    is_family: bool = False


KEYS = (
    Key("schema", "string", "for ever", "version of this data model"),
    Key("seq", "string", "for ever", "counter: place of a task in the order of submission"),
    Key("chunk_no", "string", "for ever", "counter: chunks"),
    Key("job_no", "string", "for ever", "counter: jobs"),
    Key("token_no", "string", "for ever", "the newest lease token"),
    Key("tasks", "hash", "until forgotten", "task id -> state letter, place (chunk, index), and what the state needs"),
    Key("chunks", "hash", "until all its tasks are forgotten", "chunk -> job, first seq, priority, class, task ids"),
    Key("bodies", "hash", "as chunks", "chunk -> its task specs, msgpack, zstd"),
    Key("gone", "hash", "as chunks", "chunk -> how many of its tasks are forgotten"),
    Key("jobs", "hash", "for ever", "job -> its context, msgpack"),
    Key("queue", "zset", "until empty", "class -> ranges and single tasks by rank", is_family=True),
    Key("heads", "zset", "until empty", "class -> rank of the first in its queue"),
    Key("waiting", "hash", "for ever", "class -> how many of its tasks are in todo"),
    Key(
        "passed", "hash", "until claimed", "class -> since when nodes that could hold it had no room; minus: make some"
    ),
    Key("delayed", "zset", "until due", "task id -> server time in ms from which it may run again"),
    Key("tries", "hash", "until forgotten", "task id -> what its earlier attempts left, JSON"),
    Key("past", "list", "until forgotten", "task id -> outcomes of its earlier attempts, oldest first", is_family=True),
    Key("failed", "set", "for ever", "ids of failed tasks"),
    Key("cancelled", "set", "for ever", "ids of cancelled tasks"),
    Key("counts", "hash", "for ever", "state, and job:state, -> number of tasks"),
    Key("stats", "hash", "for ever", "sums over attempts: seconds, causes; and of use"),
    Key("peaks", "hash", "for ever", "worker -> when it said so last (server time in ms), and its peaks of use"),
    Key("rate", "string", "2 minutes", "ends of tasks in one second", is_family=True),
    Key("workers", "hash", "until it leaves or is reaped", "worker -> what it last said of itself, JSON"),
    Key("sizes", "hash", "for ever", "worker -> memory (bytes) and cores (thousandths) of its node when it came last"),
    Key("incarnations", "hash", "as workers", "worker -> which life of it holds the lease"),
    Key("leases", "zset", "as workers", "worker -> server time in ms until which it is believed alive"),
    Key("reaped_at", "string", "for ever", "server time in ms of the last look for expired leases"),
    Key("held", "set", "as workers", "worker -> ids of the tasks it has claimed", is_family=True),
    Key("revoked", "set", "until told", "worker -> ids of tasks taken from it, for it to kill", is_family=True),
    Key("quarantined", "hash", "until released", "worker -> why it is given nothing"),
    Key("lately", "zset", "as workers", "worker -> server time in ms of its last attempt's end; minus: it failed"),
    Key("rung_at", "string", "for ever", "server time in ms of the last word to all workers, where they are many"),
    Key("released", "hash", "for ever", "worker -> server time in ms when it was last released"),
    Key("events", "stream", "capped", "what happened, newest last"),
)

WAKE_CHANNEL = "wake"
"""Published to when tasks become claimable or a worker has something to hear."""


def prefix(project: str) -> str:
    """The common start of all of a project's keys.

    >>> prefix("sweep")
    'distcomp:{sweep}:'
    """
    return f"distcomp:{{{project}}}:"


def declared(name: str) -> Key | None:
    """The declaration that covers the key `name` (without prefix), or None."""
    family = name.split(":", 1)[0]
    for key in KEYS:
        if key.name == name and not key.is_family:
            return key
        if key.is_family and key.name == family and name != family:
            return key
    return None


def lua_constants() -> str:
    """The Lua lines that give scripts the keys by name: TASKS, QUEUE (a family: append the suffix), ...

    One line for all, in a table, as Lua allows 200 locals to a function.
    """
    fields = [f"{key.name} = P .. '{key.name}{':' if key.is_family else ''}'" for key in KEYS]
    fields.append(f"wake_channel = P .. '{WAKE_CHANNEL}'")
    return "local P = KEYS[1]\nlocal key = { " + ", ".join(fields) + " }\n"
