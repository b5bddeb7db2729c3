"""A Ray cluster on loopback: nodes that are started as on a real one, and killed as a spot machine is.

``PYTHONPATH=. python tests/ray_nodes.py RECIPE.yaml`` runs a sweep on one node, on two, and on two of which one is
killed in the middle, each with an empty cache, and prints how long each took and what came of it: cells by the nodes
that answered them, cells that were answered twice, and cells that a killed worker lost and another one did again, all
counted in the log of what workers were given (`compression.sweeping.log`). A model of the recipe whose folder is not
there is made: a random Llama of 14 million weights.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from real_app import free_port
from tiny import tiny_tokenizer

from compression import store
from compression.environment import python_path
from compression.sweeping.log import answered_twice, read_log
from compression.sweeping.recipe import read_sweep
from compression.sweeping.report import CellResult, SweepReport

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Of the clusters of this process; without one, Ray would leave a file with one in the home folder."""
STORE_BYTES = 80_000_000
"""Of each node's object store, the least that Ray takes."""


class Node:
    """A node of one thread with a cache of its own."""

    def __init__(self, folder: Path, cache: Path, *how: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *how]
        command += ["--disable-usage-stats", f"--object-store-memory={STORE_BYTES}"]
        self._file = folder / f"node-{time.monotonic_ns()}.log"
        self._log = self._file.open("wb")
        self._process = subprocess.Popen(
            command, env=_environment(cache), stdout=self._log, stderr=self._log, start_new_session=True
        )

    def check(self) -> None:
        """Fail where it has ended."""
        if self._process.poll() is not None:
            raise AssertionError(f"a node ended: {self._file.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """Everything of it at once, without a word to anybody."""
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self._process.pid)
            for each in [whole, *whole.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGKILL)
        self._process.wait(20)
        self._log.close()


@contextlib.contextmanager
def cluster(caches: list[Path]) -> Iterator[tuple[str, list[Node]]]:
    """Nodes with these caches, the first of which is the head; yields its address and all of them."""
    # Short: Ray makes sockets in there, whose paths have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    port = free_port()
    address = f"127.0.0.1:{port}"
    head = [
        "--head",
        f"--port={port}",
        f"--temp-dir={folder}",
        "--include-dashboard=false",
    ]
    nodes = [Node(folder, caches[0], *head)]
    try:
        _wait_for(address, 1, nodes)
        nodes += [Node(folder, cache, f"--address={address}") for cache in caches[1:]]
        _wait_for(address, len(caches), nodes)
        yield address, nodes
    finally:
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(cache: Path) -> dict[str, str]:
    """Of a process with a cache of its own, one thread, and this run's token."""
    return {**os.environ, **TOKEN, "COMPRESSION_CACHE": str(cache), "PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1"}


def _wait_for(address: str, count: int, nodes: list[Node]) -> None:
    """Asked in a process of its own: Ray connects a process once."""
    ask = (
        "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=40); "
        "sys.exit(sum(n['Alive'] for n in ray.nodes()) < int(sys.argv[2]))"
    )
    end = time.monotonic() + 90
    while time.monotonic() < end:
        for node in nodes:
            node.check()
        asked = [sys.executable, "-W", "ignore", "-c", ask, address, str(count)]
        if subprocess.run(asked, env={**os.environ, **TOKEN}, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(f"no cluster of {count} nodes came up at {address}")


def start_sweep(recipe: Path, out: Path, cache: Path, *how: str) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "compression", "sweep", str(recipe), "--out", str(out), *how]
    return subprocess.Popen(
        command, env=_environment(cache), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_cells(out: Path, count: int, process: subprocess.Popen[str], seconds: float = 600, nodes: int = 1) -> None:
    """Until so many cells of so many nodes are written down."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        cells = cells_of(out)
        if len(cells) >= count and len({cell.node for cell in cells}) >= nodes:
            return
        if process.poll() is not None:
            raise AssertionError(f"the sweep ended: {process.communicate()[0]}")
        time.sleep(0.1)
    raise AssertionError(f"{out} did not reach {count} cells")


def cells_of(out: Path) -> list[CellResult]:
    """What was written down, file by file."""
    found = [store.cached_json(file, CellResult) for file in sorted((out / "cells").glob("*.json"))]
    return [cell for cell in found if cell is not None]


def make_model(folder: Path) -> None:
    """Write a random Llama of 14 million weights with a tokenizer: large enough for a cell to take seconds."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
    )
    with store.atomic_directory(folder) as temporary:
        LlamaForCausalLM(config).half().save_pretrained(temporary)
        tiny_tokenizer().save_pretrained(temporary)


def measured(recipe: Path, base: Path, nodes: int, kill: bool) -> float:
    """Run a sweep on nodes with empty caches, print what came of it, and return the seconds it took."""
    caches = [base / f"cache{number}" for number in range(nodes + 1)]
    for cache in caches:
        cache.mkdir(parents=True)
    out = base / "sweep"
    with cluster(caches[:nodes]) as (address, started):
        running = start_sweep(recipe, out, caches[-1], "--engine", "ray", "--address", address)
        if kill:
            wait_for_cells(out, 12, running, nodes=nodes)
            started[-1].kill()
        said, _ = running.communicate()
    if running.returncode:
        raise SystemExit(said)
    report, log = store.read_json(out / "sweep.json", SweepReport), read_log(out)
    done = Counter(each.key for each in log if each.outcome == "measured")
    lost = {each.key for each in log if each.outcome == "lost"}
    by_node = Counter(cell.node.split()[-1] for cell in cells_of(out))
    name = f"{nodes} node{'s' * (nodes > 1)}{', one killed after 12 cells' * kill}"
    print(
        f"{name}: {len(report.cells)} cells, {len(report.failed)} without a figure, {report.seconds:.0f} s, "
        f"{len(report.cells) / report.seconds:.3f} cells/s; by node {' + '.join(map(str, by_node.values()))}; "
        f"answered twice {len(answered_twice(log))}, lost {len(lost)}, of these done again {len(lost & done.keys())}",
        flush=True,
    )
    return report.seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    recipe = parser.parse_args().recipe
    for model in read_sweep(recipe).models:
        if Path(model).is_absolute() and not Path(model).exists():
            make_model(Path(model))
    with tempfile.TemporaryDirectory() as folder:
        one, two, killed = (
            measured(recipe, Path(folder) / str(number), nodes, kill)
            for number, (nodes, kill) in enumerate(((1, False), (2, False), (2, True)))
        )
    print(f"two nodes are {one / two:.2f} times as fast as one; with one of them killed {one / killed:.2f} times")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
