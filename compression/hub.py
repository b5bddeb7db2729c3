"""Files from the Hugging Face Hub: pinned, checked, resumable, and quick to notice that the Hub is away.

Design:
    - `huggingface_hub` speaks to the API and holds the session, the endpoint (`HF_ENDPOINT`) and the token; the
      token is never read, written or printed here. Files are streamed here because its downloads start over when
      they are interrupted, cannot be stopped, and do not compare the content with its hash.
    - A commit is a directory ``hub/OWNER--NAME/COMMIT`` under the cache root. It appears when all its files are
      there with the right content, and then no network is needed; until then they are kept in ``COMMIT.partial``,
      and a second start goes on where the first one stopped.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compression import packages, store
from compression.errors import UserError
from compression.types import Progress

log = logging.getLogger(__name__)
T = TypeVar("T")

ANSWER_SECONDS = 4.5
"""How long the Hub may take to answer a question, all in all."""

STALL_SECONDS = 20.0
"""How long a running download may stand still."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubUnreachableError(UserError):
    """The Hub did not answer; something cached may do instead."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: its path, its size in bytes, and its hash.

    Attributes:
        path: relative to the repository.
        size: in bytes.
        sha256: of the content, in hexadecimal, for files in large-file storage; else None.
        blob_id: git's object id of the content (SHA-1), or None.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str | None


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which always means the same files."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def _folder(repo_id: str, repo_type: str = "model") -> Path:
    return store.root() / "hub" / f"{repo_type}s--{repo_id.replace('/', '--')}"


def cached(repo_id: str, revision: str | None) -> tuple[Path, str] | None:
    """Return the complete local copy of a revision and its commit, or None. Uses no network.

    A copy that is not what was fetched any more counts as absent; `fetch_files` replaces it.
    """
    commit = revision if is_commit(revision) else _noted_commit(repo_id, revision)
    if commit is None:
        return None
    path = _folder(repo_id) / commit
    if not path.is_dir():
        return None
    if damaged := store.first_damaged(path):
        log.warning("%s is damaged: this copy of %s is not used.", damaged, repo_id)
        return None
    return path, commit


def _reference(repo_id: str, revision: str | None) -> Path:
    return _folder(repo_id) / "refs" / store.content_key(revision or "main")


def _noted_commit(repo_id: str, revision: str | None) -> str | None:
    """The commit that a branch or tag stood for when it was fetched last; None if none is noted, or not legibly."""
    reference = _reference(repo_id, revision)
    if not reference.is_file():
        return None
    commit = reference.read_text(encoding="ascii", errors="replace")
    if is_commit(commit):
        return commit
    log.warning("%s is damaged: it counts as absent, and %s is asked for again.", reference, repo_id)
    return None


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return `call()`; raise `TimeoutError` if it takes longer (name look-up and slow drips included)."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:  # handed to the caller below
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    if "value" not in outcome:
        raise TimeoutError(f"no answer within {seconds} s")
    return outcome["value"]


def _ask(repo_id: str, revision: str | None, call: Callable[[Any], T]) -> T:
    """Ask the Hub's API a question and turn every way it may fail into one sentence."""
    from huggingface_hub import HfApi, errors

    failures: tuple[type[BaseException], ...] = (*transport_errors(), TimeoutError, OSError, ValueError)
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="compression-explorer")
    at = f" at revision {revision}" if revision else ""
    try:
        return _within(ANSWER_SECONDS, lambda: call(api))
    except errors.GatedRepoError as error:
        raise UserError(
            f"{repo_id} is gated: accept its conditions on its page, log in with `hf auth login`, and try again."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise UserError(f"The Hugging Face Hub has no public repository {repo_id}{at}: check the spelling.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UserError(f"The Hub refuses access to {repo_id}: log in with `hf auth login`.") from error
        raise HubUnreachableError(_unreachable(repo_id, f"status {status}")) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubUnreachableError(_unreachable(repo_id, "HF_HUB_OFFLINE is set")) from error
    except failures as error:
        raise HubUnreachableError(_unreachable(repo_id, type(error).__name__)) from error


def transport_errors() -> tuple[type[Exception], ...]:
    """What `huggingface_hub` raises where a connection fails."""
    try:
        http = importlib.import_module("httpx2")  # huggingface_hub from 2.0
    except ImportError:
        http = importlib.import_module("httpx")
    return (http.HTTPError, http.InvalidURL)


def _unreachable(repo_id: str, reason: str) -> str:
    return f"The Hugging Face Hub did not answer within 5 seconds when asked for {repo_id} ({reason})."


def _hub_file(path: str, entry: Any) -> HubFile:
    return HubFile(path, entry.size or 0, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)


def list_model_files(repo_id: str, revision: str | None) -> tuple[str, tuple[HubFile, ...]]:
    """Return the commit a model's `revision` stands for, and all its files.

    Raises:
        HubUnreachableError: if there is no answer within 5 seconds.
        UserError: if there is no such repository, or no access to it.
    """

    def call(api: Any) -> Any:
        return api.model_info(repo_id, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)

    info = _ask(repo_id, revision, call)
    files = tuple(_hub_file(entry.rfilename, entry) for entry in info.siblings or ())
    if not is_commit(info.sha):
        raise HubUnreachableError(_unreachable(repo_id, "the answer names no commit"))
    return info.sha, files


def list_dataset_file(repo_id: str, commit: str, path: str) -> HubFile:
    """Return size and hash of one file of a data set.

    Raises:
        HubUnreachableError: if there is no answer within 5 seconds.
        UserError: if there is no such file, or no access to it.
    """
    entries = _ask(
        repo_id, commit, lambda api: list(api.get_paths_info(repo_id, [path], repo_type="dataset", revision=commit))
    )
    if not entries:
        raise UserError(f"The data set {repo_id} has no file {path}.")
    return _hub_file(path, entries[0])


def fetch_dataset_file(repo_id: str, commit: str, path: str, advice: str) -> Generator[Progress, None, Path]:
    """Download one file of a data set unless it is there.

    Args:
        repo_id: owner/name.
        commit: the full commit hash.
        path: of the file in the repository.
        advice: what to do where the Hub cannot be reached, a sentence.

    Returns:
        The directory that holds the file under its path.

    Raises:
        UserError: if the Hub cannot be reached, with the advice, or as `fetch_files` has it.
    """
    yield Progress("download", 0, 1, f"Asking the Hugging Face Hub for {repo_id}")
    try:
        file = list_dataset_file(repo_id, commit, path)
        return (yield from fetch_files(repo_id, commit, (file,), repo_type="dataset"))
    except HubUnreachableError as error:
        raise UserError(f"{error} {advice}") from error


def fetch_files(
    repo_id: str,
    commit: str,
    files: tuple[HubFile, ...],
    *,
    revision: str | None = None,
    repo_type: str = "model",
    apart: bool = False,
) -> Generator[Progress, None, Path]:
    """Download `files` of a commit unless they are there.

    Args:
        repo_id: owner/name.
        commit: the full commit hash.
        files: what to download.
        revision: the branch or tag to remember as `commit`, for when the Hub is away; None means its default branch.
        repo_type: ``model`` or ``dataset``.
        apart: whether these are only some of the files: they get a directory of their own, and the commit does not
            count as fetched. So it always is of a data set.

    Yields:
        Progress in bytes.

    Returns:
        The directory that holds the files.

    Raises:
        HubUnreachableError: if the download stops and does not go on; what has come is kept for the next time.
        UserError: if the size is above the limit, the disk is full, or the content differs from its hash.
    """
    total = sum(file.size for file in files)
    folder = _folder(repo_id, repo_type)
    whole = repo_type == "model" and not apart
    name = commit if whole else f"{commit}-{store.content_key(files)[:12]}"
    target, partial = folder / name, folder / f"{name}.partial"
    with (yield from store.waiting_lock(f"hub-{repo_type}-{repo_id}", repo_id)):
        if not store.is_whole(target):
            if target.is_dir():
                damaged = store.first_damaged(target)
                log.warning("%s is damaged: this copy of %s is removed, and fetched again.", damaged, repo_id)
                yield Progress("download", 0, total, f"{repo_id} was damaged in the cache: it is fetched again")
                store.remove(target)
            packages.check_size(repo_id, total)
            with store.disk_errors(folder):
                done = 0
                for file in files:
                    for size in _fetch_file(repo_id, commit, file, partial / file.path, repo_type):
                        message = f"Downloading {repo_id}: {(done + size) / 1e6:.0f} of {total / 1e6:.0f} MB"
                        yield Progress("download", done + size, total, message)
                    done += file.size
                store.note_hashes(partial)
                os.rename(partial, target)
        if whole and not is_commit(revision):
            with store.atomic_file(_reference(repo_id, revision)) as temporary:
                temporary.write_text(commit, encoding="ascii")
    return target


def _fetch_file(repo_id: str, commit: str, file: HubFile, path: Path, repo_type: str) -> Generator[int, None, None]:
    """Bring `path` to its full size, from where it stands, yielding its size; then check its content."""
    from huggingface_hub import errors, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    url = hf_hub_url(
        repo_id,
        file.path,
        repo_type=repo_type,
        revision=commit,
        endpoint=os.environ.get("HF_ENDPOINT") or None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    attempts = 3
    while (start := path.stat().st_size) < file.size:
        headers = build_hf_headers(library_name="compression-explorer", headers={"Accept-Encoding": "identity"})
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with get_session().stream(
                "GET", url, headers=headers, follow_redirects=True, timeout=STALL_SECONDS
            ) as response:
                hf_raise_for_status(response)
                # A server that knows no ranges answers 200 and sends everything again.
                with open(path, "ab" if response.status_code == 206 else "wb") as sink:
                    said = 0
                    for chunk in response.iter_raw():
                        sink.write(chunk)
                        if sink.tell() > file.size:
                            break  # more than announced, and more than the limit was checked for
                        if sink.tell() - said >= file.size / 100:
                            said = sink.tell()
                            yield said
        except errors.HfHubHTTPError as error:
            status = getattr(error.response, "status_code", None)
            raise HubUnreachableError(
                f"The Hugging Face Hub refused to send {file.path} of {repo_id} (status {status})."
            ) from error
        except transport_errors() as error:
            attempts -= path.stat().st_size == start  # any progress earns another attempt
            if attempts <= 0:
                raise HubUnreachableError(
                    f"The download of {file.path} of {repo_id} stopped ({type(error).__name__}): try again, and it "
                    "goes on from there."
                ) from error
        else:
            if path.stat().st_size <= start:
                break
    if path.stat().st_size != file.size or not _content_matches(path, file):
        path.unlink()
        raise UserError(f"{file.path} of {repo_id} arrived with another content than the Hub announced: try again.")


def _content_matches(path: Path, file: HubFile) -> bool:
    if file.sha256 is not None:
        return store.file_hash(path) == file.sha256
    if file.blob_id is None:
        return True
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == file.blob_id
