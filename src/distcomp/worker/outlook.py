"""How the node is, and what its settings grant: read at each look, used between looks."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from distcomp import __version__, packing
from distcomp.clock import Clock
from distcomp.config import Changed, Rejected, SettingsWatcher
from distcomp.memory import NodeMemoryReader
from distcomp.model import NodeMemory, NodeRoom
from distcomp.runner.attempt import RunningAttempt
from distcomp.runner.limits import KeepOutput, RunnerLimits
from distcomp.statefolder import removed
from distcomp.store.reading import WorkerFacts
from distcomp.units import format_bytes
from distcomp.worker.node import BusyCores, free_disk_bytes, usable_cores
from distcomp.worker.usemeter import UseMeter

log = logging.getLogger(__name__)

CHECK_S = 1.0
"""How often settings and disk are looked at."""
CROWDED = 0.9
NO_ROOM = NodeRoom(0, 0, 0, 0, 0)


class Outlook:
    """The node as the worker sees it.

    `trouble` says why nothing is claimed now, "" when all is well; `limits` what the settings granted at the last
    look, for the memory there was.
    """

    def __init__(
        self, node: str, folder: Path, watcher: SettingsWatcher, memory: NodeMemoryReader, clock: Clock
    ) -> None:
        self.node, self.trouble = node, ""
        self._folder, self._watcher, self._memory_reader, self._clock = folder, watcher, memory, clock
        self._busy = BusyCores(clock.monotonic_s)
        self._started_at_ms = clock.now_ms()
        self._settings_changed = False
        self._attempts_bytes = 0
        self._check_at_s = -1.0
        self.is_fenced = False
        self.settings = watcher.settings
        self.meter = UseMeter()
        self._read_memory()

    def look(self, running: Sequence[RunningAttempt]) -> None:
        """Read the memory and the cores anew; and once a second, the settings and the disk.

        Raises:
            StateFolderError: the folder was removed.
        """
        now_s = self._clock.monotonic_s()
        if now_s >= self._check_at_s:
            self._check_at_s = now_s + CHECK_S
            self._check_settings()
            self._check_disk()
        self._attempts_bytes = sum(attempt.measured.used_bytes for attempt in running)
        self._read_memory()
        busy, cores = self._busy.read(), self.limits.cores
        self.meter.note(now_s, len(running), self._attempts_bytes, self.memory.total_bytes, busy, cores)

    def glance(self) -> NodeMemory:
        """The memory as it is now; `memory` stays what the last look saw."""
        return self._granted()

    def _check_settings(self) -> None:
        match self._watcher.check():
            case Changed() as changed:
                self.settings = changed.settings
                self._settings_changed = True
                log.info("settings changed: %s", ", ".join(changed.now) or "nothing yet")
                if changed.later:
                    log.info("these wait for a new start: %s", ", ".join(changed.later))
            case Rejected() as rejected:
                log.warning("settings stay as they were: %s", rejected.error)
            case None:
                pass

    @property
    def busy_cores(self) -> float:
        """At work for whomever."""
        return self._busy.read()

    @property
    def is_crowded(self) -> bool:
        """Are all cores that may be used at work?"""
        return self._busy.read() > CROWDED * self.limits.cores

    def limits_changed(self) -> bool:
        """Did the last look find other settings?"""
        changed, self._settings_changed = self._settings_changed, False
        return changed

    def runner_limits(self) -> RunnerLimits:
        """What the settings say about attempts."""
        settings = self.settings
        return RunnerLimits(
            shell=settings.shell or shutil.which("bash") or "/bin/sh",
            timeout_s=settings.timeout_s,
            kill_grace_s=settings.kill_grace_s,
            output_limit_bytes=settings.output_limit_bytes,
            compress_above_bytes=settings.compress_above_bytes,
            keep_output=KeepOutput(settings.keep_output),
            cwd_map=settings.cwd_map,
            collect=settings.collect,
        )

    def facts(
        self,
        running: int,
        most: int,
        *,
        is_draining: bool,
        room: NodeRoom = NO_ROOM,
        why: Sequence[str] = ("", ""),
    ) -> bytes:
        """What the worker says of itself: JSON of WorkerFacts.

        Args:
            why: memory is short, and nothing starts, if so.
        """
        return msgspec.json.encode(
            WorkerFacts(
                node=self.node,
                pid=os.getpid(),
                version=__version__,
                started_at_ms=self._started_at_ms,
                state="draining" if is_draining else "waiting" if self.trouble else "working",
                note=self.trouble,
                running=running,
                max_attempts=most,
                total_memory_bytes=self.memory.total_bytes,
                available_memory_bytes=self.memory.available_bytes,
                attempts_memory_bytes=self._attempts_bytes,
                total_cores=self.limits.cores,
                busy_cores=round(self._busy.read(), 2),
                room_memory_bytes=max(0, room.memory_bytes),
                room_cores=round(room.cores, 3),
                why_short=why[0],
                why_full=why[1],
            )
        )

    def _limits(self) -> packing.NodeLimits:
        settings, total_bytes = self.settings, self.memory.total_bytes
        keep_free_bytes = int(total_bytes * settings.keep_free_fraction)
        if not self.is_fenced:
            # Who takes memory between two looks is met by nothing else.
            keep_free_bytes = max(keep_free_bytes, settings.keep_free_floor_bytes)
        return packing.NodeLimits(
            cores=min(settings.cores or float("inf"), usable_cores()),
            max_attempts=settings.max_tasks,
            # The floor must leave a small node something to work with.
            keep_free_bytes=min(keep_free_bytes, total_bytes // 8),
            victim=packing.Victim(settings.victim),
        )

    def _read_memory(self) -> None:
        self.memory = self._granted()
        self.limits = self._limits()

    def _granted(self) -> NodeMemory:
        node = self._memory_reader.read()
        granted_bytes = self.settings.memory_bytes
        if 0 < granted_bytes < node.total_bytes:
            available_bytes = min(node.available_bytes, granted_bytes - self._attempts_bytes)
            return NodeMemory(granted_bytes, max(0, available_bytes))
        return node

    def _check_disk(self) -> None:
        try:
            free_bytes = free_disk_bytes(self._folder)
        except FileNotFoundError as error:
            raise removed(self._folder) from error
        least_bytes = self.settings.min_free_disk_bytes
        trouble = ""
        if free_bytes < least_bytes:
            trouble = f"disk full: {format_bytes(free_bytes)} free, {format_bytes(least_bytes)} wanted (min_free_disk)"
        if trouble and not self.trouble:
            log.warning("%s: nothing new is started", trouble)
        self.trouble = trouble
