"""Whether an exported model is what it was: loaded in a fresh process, without network, and asked again.

Run as a program (``python -m compression.verification DIRECTORY ANSWER``) it is that process.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compression import export, store
from compression.environment import python_path
from compression.errors import UserError
from compression.fingerprint import SAMPLES, fingerprint, probe_logits
from compression.pipeline import CompressedModel
from compression.types import ExportCheck, Progress

log = logging.getLogger(__name__)

ANSWER_FILE, LOADING_FILE = "logits.safetensors", "loading.json"
NETWORK_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"})


def verify_export(compressed: CompressedModel, directory: Path) -> Generator[Progress, None, ExportCheck]:
    """Load a directory in a fresh process and compare its logits with those of the model in memory.

    Closing the generator ends the process.

    Raises:
        UserError: if a file is missing or altered, or the process fails.
    """
    _check_files(directory, export.read_record(directory))
    expected = probe_logits(compressed.model, compressed.source)
    logits, seconds = yield from _ask_a_fresh_process(directory, torch.get_num_threads())
    if logits.shape != expected.shape:
        raise UserError(f"The fresh process answered with other tokens for {directory}: export it again.")
    return ExportCheck(
        equal=torch.equal(logits.view(torch.int32), expected.view(torch.int32)),
        largest_difference=float((logits - expected).abs().max()),
        compared=expected.numel(),
        accounted_bytes=compressed.report.stored_bits // 8,
        weights_bytes=(directory / export.WEIGHTS_FILE).stat().st_size,
        folder_bytes=sum(path.stat().st_size for path in export.exported_files(directory)),
        load_seconds=seconds,
        threads=torch.get_num_threads(),
    )


def verify_directory(directory: Path) -> Generator[Progress, None, ExportCheck]:
    """Load a directory in a fresh process and compare its logits with what was noted when it was exported.

    Raises:
        UserError: if a file is missing or altered, or the process fails.
    """
    record = export.read_record(directory)
    _check_files(directory, record)
    accounted = store.read_json(directory / export.REPORT_FILE, export.Manifest).report.stored_bits // 8
    noted = record.fingerprint
    logits, seconds = yield from _ask_a_fresh_process(directory, noted.threads)
    found = fingerprint(logits)
    if (found.tokens, len(found.sample)) != (noted.tokens, len(noted.sample)):
        raise UserError(f"The fresh process answered with other tokens for {directory}: export it again.")
    pairs = zip(found.sample, noted.sample, strict=True)
    return ExportCheck(
        equal=found.sha256 == noted.sha256,
        largest_difference=max(abs(now - then) for now, then in pairs),
        compared=logits.numel() if found.sha256 == noted.sha256 else SAMPLES,
        accounted_bytes=accounted,
        weights_bytes=(directory / export.WEIGHTS_FILE).stat().st_size,
        folder_bytes=sum(path.stat().st_size for path in export.exported_files(directory)),
        load_seconds=seconds,
        threads=noted.threads,
        same_machine=(found.torch, found.processor) == (noted.torch, noted.processor),
    )


def _check_files(directory: Path, record: export.ExportRecord) -> None:
    """Compare every file with the list.

    Raises:
        UserError: naming what is missing, altered or added.
    """
    listed = {file.name: file for file in record.files}
    found = {file.name: file for file in export.file_records(directory)}
    wrong = [f"missing: {name}" for name in listed.keys() - found.keys()]
    wrong += [f"altered: {name}" for name in listed.keys() & found.keys() if listed[name] != found[name]]
    if wrong:
        raise UserError(f"{directory} is not as it was exported ({', '.join(sorted(wrong)[:3])}): export it again.")


def _ask_a_fresh_process(directory: Path, threads: int) -> Generator[Progress, None, tuple[Tensor, float]]:
    """The logits and the seconds of loading that a new process has for a directory."""
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    store.root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=store.root()) as folder:
        command = [sys.executable, "-m", "compression.verification", str(directory), folder, str(threads)]
        with open(Path(folder, "said"), "w+b") as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
            try:
                seconds = 0
                while True:
                    yield Progress("verify", 0, 1, f"a fresh process loads the export: {seconds} s")
                    try:
                        process.wait(1)
                        break
                    except subprocess.TimeoutExpired:
                        seconds += 1
            finally:
                process.kill()
                process.wait()
        outcome = _outcome(Path(folder))
        if process.returncode or "seconds" not in outcome:
            log.warning("the check of an export failed: %s", Path(folder, "said").read_text(errors="replace")[-2000:])
            reason = outcome.get("error") or f"it ended with code {process.returncode}."
            raise UserError(f"The export could not be loaded in a fresh process: {reason}")
        return load_file(Path(folder, ANSWER_FILE))["logits"], float(outcome["seconds"])


def _outcome(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / LOADING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _without_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that refuses every connection."""
    if event in NETWORK_EVENTS:
        _refuse()


def _refuse() -> NoReturn:
    raise PermissionError("the check of an export uses no network")


def _answer(directory: Path, folder: Path, threads: int) -> None:
    """What the fresh process does: load, answer, and leave both on disk."""
    sys.addaudithook(_without_network)
    torch.set_num_threads(threads)
    started = time.perf_counter()
    try:
        loaded = export.load(directory)
    except UserError as error:
        (folder / LOADING_FILE).write_text(json.dumps({"error": str(error)}), encoding="utf-8")
        sys.exit(2)
    seconds = time.perf_counter() - started
    save_file({"logits": probe_logits(loaded.model, loaded.source)}, folder / ANSWER_FILE)
    (folder / LOADING_FILE).write_text(json.dumps({"seconds": seconds}), encoding="utf-8")


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
