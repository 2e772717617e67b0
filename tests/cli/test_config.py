"""`distcomp config`: the settings, and where they come from."""

from __future__ import annotations

from tests.support.sandbox import Sandbox


def test_show_says_where_each_value_comes_from(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=3)
    sandbox.environment["DISTCOMP_RETRIES"] = "5"
    shown = {setting["name"]: setting for setting in sandbox.json("config", "show")}
    assert (shown["max_tasks"]["value"], shown["max_tasks"]["source"]) == ("3", "distcomp.toml:1")
    assert (shown["retries"]["value"], shown["retries"]["source"]) == ("5", "DISTCOMP_RETRIES")
    assert shown["lease"]["source"] == "default"
    text = sandbox.distcomp("config", "show").stdout
    assert text == sandbox.distcomp("config").stdout
    assert "distcomp.toml:1" in text


def test_passwords_are_not_shown(sandbox: Sandbox) -> None:
    sandbox.settings(store="redis://:hush@host/0")
    assert "hush" not in sandbox.distcomp("config", "show", "--json").stdout


def test_check(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=3)
    assert "the settings are fine: 1 differs from its default (" in sandbox.distcomp("config", "check").stdout
    sandbox.settings(max_tasks=-1, lease="1s", colour="red")
    done = sandbox.distcomp("config", "check", exit_code=2)
    assert [f"distcomp.toml:{line}:" in done.stderr for line in (1, 2, 3)] == [True] * 3


def test_settings_are_those_of_the_project_that_the_directory_is_in(sandbox: Sandbox) -> None:
    sandbox.settings(max_tasks=3)
    sandbox.distcomp("submit", "--", "true")
    (sandbox.folder / "below").mkdir()
    [setting] = [s for s in sandbox.json("-C", "below", "config", "show") if s["name"] == "max_tasks"]
    assert setting["value"] == "3"
    assert not (sandbox.folder / "below" / ".distcomp").exists()
