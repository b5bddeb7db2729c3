"""Where the work of a sweep is done: in processes of this machine, or on a Ray cluster.

An engine gives units to workers and hands back what comes, in any order. Workers may die at any time; then their unit
is given to another one. Nothing is kept here: `compression.sweeping.runner` writes every answer down as it comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import secrets
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, ClassVar

import psutil

from compression.errors import UserError
from compression.sweeping.plan import Unit
from compression.sweeping.report import CellResult
from compression.sweeping.work import carry_out


@dataclass(frozen=True)
class Answer:
    """What came of giving a unit to a worker.

    Attributes:
        unit: the work.
        attempt: number of workers that it was given to, this one included.
        cells: with their figures, or with the problem; empty where the worker died.
    """

    unit: Unit
    attempt: int
    cells: tuple[CellResult, ...] = ()


Answers = Generator[Answer | None, None, None]
"""Answers as they come, and None about once a second between them. Closing it stops the workers.

A unit whose worker died has an answer without cells, and then another one: of the next worker, or that it is given up.
"""
TICK = 1.0
LOOK_AGAIN = 10.0
"""Seconds between two looks at a cluster's nodes while nothing comes."""
DIED = "The process that measured it died {times} times, perhaps for want of memory: give it more, or stream weights."


class Engine(ABC):
    """Somewhere to work.

    Attributes:
        workers: so many units are worked on at a time.
        lost: number of workers that died before they answered.
    """

    name: ClassVar[str]

    def __init__(self, workers: int) -> None:
        """Take so many workers."""
        self.workers = workers
        self.lost = 0

    @abstractmethod
    def carry_out(self, units: Sequence[Unit]) -> Answers:
        """Have all units carried out."""


def failed(unit: Unit, attempt: int, problem: str) -> Answer:
    """The answer for a unit that is given up."""
    return Answer(unit, attempt, tuple(dataclasses.replace(cell, problem=problem) for cell in unit.cells))


class _Worker:
    """A process that answers one unit at a time."""

    def __init__(self, cpus: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may stand still
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid(), cpus), daemon=True)
        self.process.start()
        theirs.close()
        self.unit: Unit | None = None
        self.tried = 0

    def give(self, unit: Unit, tried: int) -> None:
        """Let it work; `tried` workers died of this unit before."""
        self.unit, self.tried = unit, tried
        with contextlib.suppress(OSError):  # it is dead, and its end is noticed when it is waited for
            self.connection.send(unit)

    def stop(self) -> None:
        """At once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, parent: int, cpus: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    os.environ["OMP_NUM_THREADS"] = str(cpus)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(TICK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            connection.send(carry_out(connection.recv()))


class Local(Engine):
    """Processes of this machine."""

    name = "local"

    def carry_out(self, units: Sequence[Unit]) -> Answers:
        """One unit a process; a process that died is replaced."""
        left = deque((unit, 0) for unit in units)
        workers: list[_Worker] = []
        try:
            while left or any(worker.unit for worker in workers):
                for worker in workers:
                    if worker.unit is None and left:
                        worker.give(*left.popleft())
                while left and len(workers) < self.workers:
                    worker = _Worker(units[0].sweep.resources.cpus)
                    workers.append(worker)
                    worker.give(*left.popleft())
                ready = wait([worker.connection for worker in workers if worker.unit], TICK)
                if not ready:
                    yield None
                for worker in [each for each in workers if each.connection in ready]:
                    unit, tried = worker.unit, worker.tried + 1
                    assert unit is not None
                    try:
                        cells = worker.connection.recv()
                    except (EOFError, OSError):
                        self.lost += 1
                        worker.stop()
                        workers.remove(worker)
                        yield Answer(unit, tried)
                        if tried > unit.sweep.resources.retries:
                            yield failed(unit, tried, DIED.format(times=tried))
                        else:
                            left.append((unit, tried))
                        continue
                    worker.unit = None
                    yield Answer(unit, tried, cells)
        finally:
            for worker in workers:
                worker.stop()


def _on_a_node(unit: Unit) -> tuple[CellResult, ...]:
    """In a worker of Ray; a machine may hold several nodes, so the answer says which one it was."""
    import ray

    node = ray.get_runtime_context().get_node_id()[:8]
    return tuple(dataclasses.replace(cell, node=f"{cell.node} {node}") for cell in carry_out(unit))


def _said(error: Exception) -> str:
    """Why a task could not even begin; what its measurement cannot do, it answers itself."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]  # of a traceback from elsewhere the last line says most
    said = lines[-1][:300]
    return f"Its node could not begin it: {type(cause).__name__}: {said}: install the same packages on all nodes."


def _authenticate(address: str) -> None:
    """Choose Ray's token before it is imported, where nobody has: a cluster asks for one unless it was told not to.

    One that is started for this process gets a token that only this process knows, and no file of it is written.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    known = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not address and not known:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if not address or known or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ["RAY_AUTH_MODE"] = "token"


class OnRay(Engine):
    """A Ray cluster, or one that is started on this machine for as long as the sweep takes."""

    name = "ray"

    def __init__(self, memory: dict[str, int], address: str = "") -> None:
        """Connect.

        Args:
            memory: model → bytes that a worker with it needs; without an entry, any node will do.
            address: of the cluster, ``HOST:PORT``; empty for one on this machine.

        Raises:
            UserError: if Ray is not installed, or there is no such cluster.
        """
        # Before it is imported; otherwise Ray tells its makers what runs where.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        _authenticate(address)
        try:
            import ray
        except ImportError as error:
            raise UserError("Ray is not installed: install it by pip install ray, or use --engine local.") from error
        self._ray: Any = ray
        self._memory = memory
        settings: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise UserError(
                f"There is no Ray cluster at {address or 'this machine'} that answers: start one by ray start --head, "
                "and give its address as HOST:PORT."
            ) from error
        self._work = ray.remote(_on_a_node)
        super().__init__(int(ray.cluster_resources().get("CPU", 0)))

    def carry_out(self, units: Sequence[Unit]) -> Answers:
        """One unit a task, spread over the nodes; one whose worker or node died is given to another from here.

        Raises:
            UserError: if no node could ever take what is left: at once at the beginning, later after the recipe's
                `wait_minutes`, as machines that were taken away come back.
        """
        ray = self._ray
        errors = ray.exceptions
        deaths = (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        )
        pending: dict[Any, tuple[Unit, int]] = {}
        try:
            if lacking := self._without_room(units):
                raise UserError(
                    f"No node of the cluster has what a worker with {self._needs(lacking[0])}: add a node, or ask for "
                    "less in the recipe's resources."
                )
            for unit in units:
                pending[self._give(unit)] = unit, 1
            patience = 60 * units[0].sweep.resources.wait_minutes
            looked = had_room = time.monotonic()
            while pending:
                ready, _ = ray.wait(list(pending), timeout=TICK)
                for reference in ready:
                    unit, attempt = pending.pop(reference)
                    try:
                        cells = ray.get(reference)
                    except deaths:
                        self.lost += 1
                        yield Answer(unit, attempt)
                        if attempt > unit.sweep.resources.retries:
                            yield failed(unit, attempt, DIED.format(times=attempt))
                        else:
                            pending[self._give(unit)] = unit, attempt + 1
                    except errors.RayError as error:
                        yield failed(unit, attempt, _said(error))
                    else:
                        yield Answer(unit, attempt, cells)
                if ready:
                    had_room = time.monotonic()
                    continue
                yield None
                if time.monotonic() - looked >= min(LOOK_AGAIN, patience):
                    looked = time.monotonic()
                    left = [unit for unit, _ in pending.values()]
                    if len(self._without_room(left)) < len(left):
                        had_room = looked
                    elif looked - had_room >= patience:
                        raise UserError(
                            f"For {patience / 60:g} minutes no node of the cluster has had what a worker with "
                            f"{self._needs(left[0])}: add a node and start again; what was measured is kept."
                        )
        finally:
            ray.shutdown()

    def _give(self, unit: Unit) -> Any:
        """A task; Ray's own retries would leave no trace of what was begun twice."""
        return self._work.options(
            **self._resources(unit), max_retries=0, scheduling_strategy="SPREAD", name=unit.name
        ).remote(unit)

    def _resources(self, unit: Unit) -> dict[str, Any]:
        asked = unit.sweep.resources
        needs: dict[str, Any] = {"num_cpus": asked.cpus, "num_gpus": asked.gpus}
        memory = self._memory.get(unit.recipe.model_id)
        return needs | ({"memory": memory} if memory else {})

    def _needs(self, unit: Unit) -> str:
        needs = self._resources(unit)
        return (
            f"{unit.recipe.model_id} needs: {needs['num_cpus']} threads, {needs.get('memory', 0) / 1e6:.0f} MB and "
            f"{needs['num_gpus']:g} GPUs"
        )

    def _without_room(self, units: Sequence[Unit]) -> list[Unit]:
        """What no living node could ever take: Ray would wait for such a node for ever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}

        def fits(needs: dict[str, Any]) -> bool:
            return any(all(node.get(names[name], 0) >= value for name, value in needs.items()) for node in nodes)

        return [unit for unit in units if not fits(self._resources(unit))]


def local_workers(cpus: int, memory: int) -> int:
    """So many workers of `cpus` threads and `memory` bytes fit on this machine, at least one."""
    by_memory = psutil.virtual_memory().available // memory if memory else 10**6
    return max(1, min((os.cpu_count() or 1) // cpus, by_memory))
