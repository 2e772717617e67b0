"""Settings: where they come from, what is wrong with them, and what happens when they change."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from distcomp.config import Changed, Loaded, Rejected, SettingsWatcher, load, show
from distcomp.errors import BadInput
from distcomp.settings import DEFAULTS, SETTINGS, Applies, Settings, redact


def write(folder: Path, text: str) -> None:
    (folder / "distcomp.toml").write_text(text, encoding="utf-8")


def faults(
    folder: Path, environment: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> list[str]:
    """What is wrong, as the user reads it, with the file's name shortened."""
    with pytest.raises(BadInput) as caught:
        load(folder, environment or {}, flags or {})
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


class TestWhereAValueComesFrom:
    def test_who_sets_nothing_gets_the_defaults(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, {"PATH": "/bin"}, {})

        assert loaded.settings == msgspec.structs.replace(DEFAULTS, project=loaded.settings.project)
        assert set(loaded.sources.values()) == {"default"}

    def test_a_flag_beats_the_environment_which_beats_the_file(self, tmp_path: Path) -> None:
        write(tmp_path, 'retries = 3\nlease = "20s"\ncores = 2.5\n')

        loaded = load(tmp_path, {"DISTCOMP_RETRIES": "4", "DISTCOMP_LEASE": "30s"}, {"retries": 5, "timeout": None})

        assert (loaded.settings.retries, loaded.sources["retries"]) == (5, "as given")
        assert (loaded.settings.lease_s, loaded.sources["lease"]) == (30, "DISTCOMP_LEASE")
        assert (loaded.settings.cores, loaded.sources["cores"]) == (2.5, "distcomp.toml:3")
        assert loaded.sources["timeout"] == "default"

    def test_values_are_written_with_units(self, tmp_path: Path) -> None:
        write(tmp_path, 'memory = "4G"\ntimeout = "1h30m"\nkeep_free = "5 %"\nkill_grace = 2\n')

        settings = load(tmp_path, {}, {}).settings

        assert settings.memory_bytes == 4 * 2**30
        assert settings.timeout_s == 5400
        assert settings.keep_free_fraction == 0.05
        assert settings.kill_grace_s == 2

    def test_an_empty_store_in_the_environment_means_the_own_one(self, tmp_path: Path) -> None:
        write(tmp_path, 'store = "redis://far-away"')

        assert load(tmp_path, {"DISTCOMP_STORE": ""}, {}).settings.store == ""

    @pytest.mark.parametrize(
        ("folder", "project"),
        [("traces", "traces"), ("my sweep {2}", "my-sweep-2"), ("ünï", "n"), ("---", "project"), ("x" * 200, "x" * 64)],
    )
    def test_a_project_is_called_like_its_folder(self, tmp_path: Path, folder: str, project: str) -> None:
        (tmp_path / folder).mkdir()

        assert load(tmp_path / folder, {}, {}).settings.project == project


class TestFaults:
    def test_all_are_told_at_once_with_their_places(self, tmp_path: Path) -> None:
        write(tmp_path, '# ours\nretrys = 1\n  victim   =   "oldest"\nmemory = "lots"\n')

        told = faults(tmp_path, {"DISTCOMP_LEASE": "soon"}, {"poison_after": "0"})

        assert told[0] == "distcomp.toml:2:1: unknown setting 'retrys'; did you mean 'retries'?"
        assert told[1] == "distcomp.toml:3:16: victim: 'oldest' is not one of newest, cheapest"
        assert told[2].startswith("distcomp.toml:4:10: memory: 'lots' is not a size")
        assert told[3].startswith("environment variable DISTCOMP_LEASE: lease: 'soon' is not a duration")
        assert told[4].startswith("as given: poison_after: '0' is not a whole number from 1")

    def test_a_fault_that_a_flag_covers_is_told_too(self, tmp_path: Path) -> None:
        """Else it would surprise the user on the day the flag is not given."""
        write(tmp_path, "retries = -1")

        assert len(faults(tmp_path, flags={"retries": 2})) == 1

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("retries = \nlease = 3", "distcomp.toml:1:11"),
            ('lease = "3s"\nlease = "4s"\n#', "distcomp.toml:2:13"),
            ("retries = 1\nlease = [", "distcomp.toml:2"),
        ],
    )
    def test_broken_toml_is_told_with_its_place(self, tmp_path: Path, text: str, place: str) -> None:
        write(tmp_path, text)

        (told,) = faults(tmp_path)

        assert told.startswith(f"{place}: ")
        assert "(at" not in told

    def test_a_file_that_is_not_text_is_told_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "distcomp.toml").write_bytes(b"retries = 1\nshell = '\xff'\n")

        assert faults(tmp_path) == ["distcomp.toml:2: is not UTF-8 text"]

    def test_a_file_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "distcomp.toml").mkdir()

        assert faults(tmp_path) == ["distcomp.toml: cannot be read: Is a directory"]

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("retries = true", "must be text or a number, not bool"),
            ("retries = [1]", "must be text or a number, not list"),
            ("retries = 1.5", "not a whole number"),
            ("memory = 4", "less than 1 MiB; units"),
            ("output_limit = 0", "less than 4 KiB"),
            ("keep_free = 3", "not a fraction"),
            ("lease = '1s'", "not from 2s to 1h"),
            ("cores = -1", "not a number of cores"),
            ("project = 'a{b}'", "not a project's name"),
            ("store = 'http://host'", "not a store"),
            ("[worker]\nretries = 1", "unknown setting 'worker'"),
            ("worker.retries = 1", "unknown setting 'worker'"),
        ],
    )
    def test_what_a_setting_does_not_take(self, tmp_path: Path, line: str, what: str) -> None:
        write(tmp_path, line)

        (told,) = faults(tmp_path)

        assert what in told
        assert told.startswith("distcomp.toml:1:")

    def test_a_slip_in_a_variable_is_told(self, tmp_path: Path) -> None:
        (told,) = faults(tmp_path, {"DISTCOMP_RETRYS": "3"})

        assert told.endswith("unknown setting 'DISTCOMP_RETRYS'; did you mean 'DISTCOMP_RETRIES'?")

    def test_other_variables_are_nobodys_business(self, tmp_path: Path) -> None:
        """An attempt may itself run distcomp, and users have variables of their own."""
        variables = ["TASK_ID", "ATTEMPT", "WORKER", "JOB", "STORE_PASSWORD", "HOME"]

        load(tmp_path, {f"DISTCOMP_{name}": "x" for name in variables}, {})

    def test_a_password_in_a_bad_store_is_not_told(self, tmp_path: Path) -> None:
        write(tmp_path, 'store = "http://me:hush@host"')

        (told,) = faults(tmp_path)

        assert "hush" not in told


class TestShowing:
    def test_every_setting_has_a_field_a_meaning_and_a_default_that_can_be_read_back(self) -> None:
        assert [setting.field for setting in SETTINGS] == list(Settings.__struct_fields__)
        for setting in SETTINGS:
            assert setting.meaning
            value = setting.kind.parse(setting.default)
            assert setting.kind.parse(setting.kind.format(value)) == value

    def test_a_row_has_value_source_and_meaning(self, tmp_path: Path) -> None:
        write(tmp_path, 'output_limit = "32M"')

        rows = {row.name: row for row in show(load(tmp_path, {}, {"keep_free": "0.1"}))}

        assert (rows["output_limit"].value, rows["output_limit"].source) == ("32 MiB", "distcomp.toml:1")
        assert (rows["keep_free"].value, rows["keep_free"].source) == ("10%", "as given")
        assert rows["fsync"].applies is Applies.STORE
        assert list(rows) == [setting.name for setting in SETTINGS]

    def test_the_stores_password_is_not_shown(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, {"DISTCOMP_STORE": "redis://me:hush@host/1"}, {})

        assert next(row for row in show(loaded) if row.name == "store").value == "redis://me:***@host/1"

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://me@host", "redis://me@host"),
            ("redis://:hu:s@h/@host/0", "redis://:***@host/0"),
            ("unix:///run/s.sock?db=1&password=hush&x=1", "unix:///run/s.sock?db=1&password=***&x=1"),
        ],
    )
    def test_passwords_are_taken_out_of_urls(self, url: str, shown: str) -> None:
        assert redact(url) == shown


class TestAFileThatChanges:
    @pytest.fixture
    def watcher(self, tmp_path: Path) -> SettingsWatcher:
        write(tmp_path, "retries = 1")

        def read() -> Loaded:
            return load(tmp_path, {}, {"victim": "cheapest"})

        return SettingsWatcher(tmp_path, read)

    def test_nothing_new_costs_nothing(self, watcher: SettingsWatcher) -> None:
        assert watcher.check() is None
        assert watcher.settings.retries == 1

    def test_new_values_are_in_force_at_once(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, 'retries = 7\ntimeout = "9s"')

        change = watcher.check()

        assert isinstance(change, Changed)
        assert set(change.now) == {"retries", "timeout"}
        assert watcher.settings is change.settings
        assert (watcher.settings.retries, watcher.settings.timeout_s) == (7, 9)
        assert watcher.check() is None

    def test_what_needs_a_restart_waits_for_it(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, 'retries = 1\nlease = "60s"\nproject = "other"\npoison_after = 9\nlog_level = "debug"')

        change = watcher.check()

        assert isinstance(change, Changed)
        assert (change.now, set(change.later)) == ((), {"lease", "project", "poison_after", "log_level"})
        assert watcher.settings.lease_s == DEFAULTS.lease_s

    def test_what_only_submissions_use_is_no_news_for_what_runs(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, 'retries = 1\ninterpreter = "/opt/python"')

        assert watcher.check() is None

    def test_a_bad_file_changes_nothing_and_is_told_once(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, "retries = ")

        rejected = watcher.check()

        assert isinstance(rejected, Rejected)
        assert "distcomp.toml:1" in str(rejected.error)
        assert watcher.settings.retries == 1
        assert watcher.check() is None

    def test_a_file_put_right_again_is_read(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, "retries = ")
        watcher.check()
        write(tmp_path, "retries = 4")

        assert isinstance(watcher.check(), Changed)
        assert watcher.settings.retries == 4

    def test_a_file_that_is_gone_leaves_the_defaults(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        (tmp_path / "distcomp.toml").unlink()

        assert isinstance(watcher.check(), Changed)
        assert watcher.settings.retries == DEFAULTS.retries

    def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(
        self, watcher: SettingsWatcher, tmp_path: Path
    ) -> None:
        """Editors write beside and rename; a copy may keep the time."""
        old = (tmp_path / "distcomp.toml").stat()
        (tmp_path / "new").write_text("retries = 8")
        os.utime(tmp_path / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
        (tmp_path / "new").rename(tmp_path / "distcomp.toml")

        assert isinstance(watcher.check(), Changed)

    def test_a_change_that_a_flag_covers_is_none(self, watcher: SettingsWatcher, tmp_path: Path) -> None:
        write(tmp_path, 'retries = 1\nvictim = "newest"')

        assert watcher.check() is None
        assert watcher.settings.victim == "cheapest"
