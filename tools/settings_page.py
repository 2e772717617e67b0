"""Writes docs/settings.md from the list of settings in the source: `python tools/settings_page.py`."""

from __future__ import annotations

from pathlib import Path

from distcomp.settings import SETTINGS, Applies, Setting

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_START = """# Settings

<!-- Written by tools/settings_page.py from src/distcomp/settings.py: change it there, then `make format`. -->

Nothing has to be set. What is set comes from four places, the later ones win:

1. the defaults below;
2. `distcomp.toml` in the project's directory, beside `.distcomp`: one `name = value` a line;
3. environment variables: `retries` is `DISTCOMP_RETRIES`;
4. flags: `--set retries=0`, for `distcomp run`, `distcomp worker` and `distcomp server start`.

```toml
# distcomp.toml
retries = 0
timeout = "30m"
keep_free = "10%"
```

`distcomp config show` prints each setting, its value, and where that came from. `distcomp config check` reads the
file and lists all that is wrong in it, with line and column. An unknown name is an error, with the nearest known one.

The file is read again while workers run: a changed setting takes effect within a second or two, unless the table says
that it waits. A file with a fault changes nothing: the worker's log says what is wrong, and the old values stay in
force.

Sizes are binary: `512M` is 512 * 2^20 bytes, `4G`, `4GB` and `4GiB` are the same. Durations are `90s`, `15m`, `2h`,
`1d`, `1h30m`, or a number of seconds. Shares are `5%` or `0.05`.

"""

_WHEN = {
    Applies.NOW: ("Take effect at once", "For attempts that start from then on; running ones go on as they are."),
    Applies.SUBMISSION: (
        "Take effect when tasks are submitted",
        "Tasks that are in the queue keep what they came with.",
    ),
    Applies.WORKER: ("Take effect when a worker starts", ""),
    Applies.STORE: (
        "Take effect when the store starts",
        "`distcomp server stop`, and the next command starts it again.",
    ),
    Applies.NODES: ("Take effect when a command goes to nodes", "[cluster.md](cluster.md) has more on nodes."),
}

_END = """
## Where the store is

| `store` | |
|---|---|
| empty | a server of the project's own, started when needed, on a Unix socket in `.distcomp/store` |
| `redis://USER:PASSWORD@HOST:PORT/DB` | a Valkey, or a Redis from 6.2 on; all but the host may be left out |
| `rediss://...?ca=FILE&cert=FILE&key=FILE` | the same over TLS |
| `unix:///PATH?db=N` | a Unix socket |
| `sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` | the primary that Sentinels name |
| `sentinels://...?ca=FILE&cert=FILE&key=FILE` | the same, Sentinels and servers over TLS |

A password in the URL is hidden wherever the URL is shown. Better is `?password_file=FILE`, a file that only its owner
can read, or the environment variable `DISTCOMP_STORE_PASSWORD`. The project's own server has a random password, in
`.distcomp/secret`.
"""


def page() -> str:
    """The whole page."""
    parts = [_START]
    for applies, (title, remark) in _WHEN.items():
        rows = [_row(setting) for setting in SETTINGS if setting.applies is applies]
        lines = [
            f"## {title}",
            *([remark] if remark else []),
            "",
            "| name | default | meaning |",
            "|---|---|---|",
            *rows,
        ]
        parts.append("\n".join([*lines, "", ""]))
    return "".join(parts).rstrip("\n") + "\n" + _END


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else ""
    meaning = setting.meaning.replace("|", r"\|")
    return f"| `{setting.name}` | {default} | {meaning} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
