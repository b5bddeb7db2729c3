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
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar

import psutil

from compression.errors import UserError
from compression.sweeping.plan import Unit
from compression.sweeping.report import CellResult
from compression.sweeping.work import carry_out

Answer = tuple[Unit, tuple[CellResult, ...]]
Answers = Generator[Answer | None, None, None]
"""Answers as they come, and None about once a second between them. Closing it stops the workers."""
TICK = 1.0
DIED = "The process that measured it died {times} times, perhaps for want of memory: give it more, or stream weights."


class Engine(ABC):
    """Somewhere to work.

    Attributes:
        workers: so many units are worked on at a time.
        lost: number of workers that died on the way, as far as this process learns of it.
    """

    name: ClassVar[str]

    def __init__(self, workers: int) -> None:
        """Take so many workers."""
        self.workers = workers
        self.lost = 0

    @abstractmethod
    def carry_out(self, units: Sequence[Unit]) -> Answers:
        """Have all units carried out."""


def failed(unit: Unit, problem: str) -> Answer:
    """The answer for a unit that no worker survives."""
    return unit, tuple(dataclasses.replace(cell, problem=problem) for cell in unit.cells)


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
                        answer = worker.connection.recv()
                    except (EOFError, OSError):
                        self.lost += 1
                        worker.stop()
                        workers.remove(worker)
                        if tried > unit.sweep.resources.retries:
                            yield failed(unit, DIED.format(times=tried))
                        else:
                            left.append((unit, tried))
                        continue
                    worker.unit = None
                    yield unit, answer
        finally:
            for worker in workers:
                worker.stop()


def _on_a_node(unit: Unit) -> tuple[CellResult, ...]:
    """In a worker of Ray; a machine may hold several nodes, so the answer says which one it was."""
    import ray

    node = ray.get_runtime_context().get_node_id()[:8]
    return tuple(dataclasses.replace(cell, node=f"{cell.node} {node}") for cell in carry_out(unit))


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
        super().__init__(int(ray.cluster_resources().get("CPU", 0)))

    def carry_out(self, units: Sequence[Unit]) -> Answers:
        """One unit a task, spread over the nodes; Ray gives a task whose node died to another one."""
        ray = self._ray
        try:
            asked = [self._resources(unit) for unit in units]
            self._check_room(units, asked)
            work = ray.remote(_on_a_node)
            pending = {
                work.options(
                    **needs, max_retries=unit.sweep.resources.retries, scheduling_strategy="SPREAD", name=unit.name
                ).remote(unit): unit
                for unit, needs in zip(units, asked, strict=True)
            }
            while pending:
                ready, _ = ray.wait(list(pending), timeout=TICK)
                if not ready:
                    yield None
                for reference in ready:
                    unit = pending.pop(reference)
                    try:
                        answer = ray.get(reference)
                    except (ray.exceptions.RayError, OSError):
                        self.lost += 1
                        yield failed(unit, DIED.format(times=unit.sweep.resources.retries + 1))
                        continue
                    yield unit, answer
        finally:
            ray.shutdown()

    def _resources(self, unit: Unit) -> dict[str, Any]:
        asked = unit.sweep.resources
        needs: dict[str, Any] = {"num_cpus": asked.cpus, "num_gpus": asked.gpus}
        memory = self._memory.get(unit.recipe.model_id)
        return needs | ({"memory": memory} if memory else {})

    def _check_room(self, units: Sequence[Unit], asked: Sequence[dict[str, Any]]) -> None:
        """Refuse what no node could ever take: Ray would wait for such a node for ever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        for unit, needs in zip(units, asked, strict=True):
            if not any(all(node.get(names[name], 0) >= value for name, value in needs.items()) for node in nodes):
                raise UserError(
                    f"No node of the cluster has what a worker with {unit.recipe.model_id} needs: {needs['num_cpus']} "
                    f"threads, {needs.get('memory', 0) / 1e6:.0f} MB and {needs['num_gpus']:g} GPUs: add a node, or "
                    "ask for less in the recipe's resources."
                )


def local_workers(cpus: int, memory: int) -> int:
    """So many workers of `cpus` threads and `memory` bytes fit on this machine, at least one."""
    by_memory = psutil.virtual_memory().available // memory if memory else 10**6
    return max(1, min((os.cpu_count() or 1) // cpus, by_memory))
