"""An exported model to the Hugging Face Hub: one commit, never over anything that is not ours.

The token is handed in, used, and forgotten: it is not stored, printed or logged, and no message holds it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compression import export, hub, model_card, models
from compression.errors import UserError
from compression.types import Progress

T = TypeVar("T")

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_EMPTY = frozenset({".gitattributes", "README.md"})
"""What the Hub puts into a repository that nobody has written to."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Existing:
    """A repository as it stands: its commit and its files."""

    commit: str
    files: frozenset[str]


def stored_token() -> str | None:
    """The token of ``hf auth login`` or ``HF_TOKEN`` on this machine, if there is one."""
    from huggingface_hub import get_token

    return get_token()


def check_repo_id(repo_id: str) -> str:
    """A repository's name without spaces around it.

    Raises:
        UserError: if it is not of the form owner/name.
    """
    name = repo_id.strip()
    if not _REPO_ID.fullmatch(name) or ".." in name or "--" in name or name.endswith((".", "-", ".git")):
        raise UserError(
            f"A repository is named owner/name, with letters, digits, '-', '_' and '.' only, but {repo_id[:100]!r} was "
            "given."
        )
    return name


def push(
    directory: Path, repo_id: str, token: str | None, private: bool = False, update: bool = False
) -> Generator[Progress, None, str]:
    """Upload an exported directory in one commit; nothing local changes.

    Closing the generator before the commit leaves the repository without one.

    Args:
        directory: what `export.save` wrote.
        repo_id: owner/name.
        token: with permission to write.
        private: whether a new repository is private; an existing one stays as it is.
        update: whether a repository that holds a compressed model already may be replaced.

    Returns:
        The address of the repository's page.

    Raises:
        UserError: if the login or the Hub refuses, the name is taken, or the upload breaks off.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    repo_id = check_repo_id(repo_id)
    files = export.exported_files(directory)
    if not token:
        raise UserError(
            "Nobody is logged in to the Hugging Face Hub: run `hf auth login` on this machine, with a token that may "
            "write, and try again."
        )
    api = HfApi(endpoint=_endpoint(), token=token, library_name="compression-explorer")
    yield Progress("push", 0, 4, "Asking the Hugging Face Hub who is logged in")
    yield from _ask(repo_id, api.whoami)
    yield Progress("push", 1, 4, f"Asking whether {repo_id} exists")
    existing = yield from _ask(repo_id, lambda: _existing(api, repo_id))
    if existing is None:
        yield Progress("push", 2, 4, f"Creating {repo_id}")
        yield from _ask(repo_id, lambda: api.create_repo(repo_id, private=private, exist_ok=True))
    else:
        _check_existing(repo_id, existing, update)
    size = sum(path.stat().st_size for path in files)
    additions = [CommitOperationAdd(path.name, _content(path, directory, repo_id)) for path in files]
    message = f"Uploading {size / 1e6:.0f} MB to {repo_id}"
    yield Progress("push", 3, 4, message)
    yield from _ask(repo_id, lambda: api.preupload_lfs_files(repo_id, additions), message)
    names = {path.name for path in files}
    stale = sorted(name for name in (existing.files if existing else ()) if models.is_model_file(name))
    deletions = [CommitOperationDelete(name) for name in stale if name not in names]
    yield from _ask(
        repo_id,
        lambda: api.create_commit(
            repo_id,
            [*additions, *deletions],
            commit_message="A compressed model with its recipe, card and report",
            parent_commit=existing.commit if existing else None,
        ),
        message,
    )
    yield Progress("push", 4, 4, f"Uploaded {repo_id}")
    return f"{_endpoint() or 'https://huggingface.co'}/{repo_id}"


def _endpoint() -> str | None:
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def _content(path: Path, directory: Path, repo_id: str) -> str | bytes:
    """A file to upload; the card's way of loading names the repository instead of the folder."""
    if path.name != export.CARD_FILE:
        return str(path)
    card = path.read_text(encoding="utf-8")
    return card.replace(model_card.snippet(directory.name), model_card.snippet(repo_id)).encode()


def _existing(api: Any, repo_id: str) -> _Existing | None:
    from huggingface_hub import errors

    try:
        info = api.model_info(repo_id)
    except errors.GatedRepoError:
        raise
    except errors.RepositoryNotFoundError:
        return None
    return _Existing(info.sha, frozenset(entry.rfilename for entry in info.siblings or ()))


def _check_existing(repo_id: str, existing: _Existing, update: bool) -> None:
    """Refuse a repository that would lose something."""
    if existing.files <= _EMPTY:
        return
    if export.REPORT_FILE not in existing.files:
        raise UserError(f"{repo_id} exists already and holds something else: choose another name.")
    if not update:
        raise UserError(
            f"{repo_id} exists already and holds a compressed model: choose another name, or allow to update it."
        )


def _ask(repo_id: str, call: Callable[[], T], message: str = "") -> Generator[Progress, None, T]:
    """Call the Hub in a thread, yielding while it works, and turn every way it may fail into one sentence."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            with _without_bars():
                outcome["value"] = call()
        except BaseException as error:  # handed on below
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started = time.monotonic()
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        waited = int(time.monotonic() - started)
        if message:
            yield Progress("push", 3, 4, f"{message}: {waited} s")
        elif waited >= hub.STALL_SECONDS:
            raise UserError(f"The Hugging Face Hub did not answer when asked for {repo_id}: try again later.")
    if "error" in outcome:
        raise _sentence(repo_id, outcome["error"]) from None
    value: T = outcome["value"]
    return value


@contextmanager
def _without_bars() -> Iterator[None]:
    """No bars of `huggingface_hub` on standard error: progress is told by our own events."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _sentence(repo_id: str, error: BaseException) -> BaseException:
    """What the person in front of the screen can do about a failure; a bug stays what it is."""
    from huggingface_hub import errors

    causes = list(_causes(error))
    if any(isinstance(each, errors.OfflineModeIsEnabled) for each in causes):
        return hub.HubUnreachableError(
            f"The Hugging Face Hub was not asked for {repo_id}: unset HF_HUB_OFFLINE and try again."
        )
    statuses = [getattr(each.response, "status_code", 0) for each in causes if isinstance(each, errors.HfHubHTTPError)]
    if statuses:
        return _refusal(repo_id, statuses[0])
    if isinstance(error, UserError):
        return error
    if any(isinstance(each, (*hub.transport_errors(), OSError, TimeoutError)) for each in causes):
        return hub.HubUnreachableError(
            f"The connection to the Hugging Face Hub broke off while {repo_id} was uploaded: check the network and try "
            "again; the exported model is still here."
        )
    return error


def _refusal(repo_id: str, status: int) -> UserError:
    if status == 401:
        return UserError(
            "The Hugging Face Hub refused the login (unknown or expired token): log in again, with a token that may "
            "write."
        )
    if status in (403, 404):
        return UserError(
            f"The Hugging Face Hub does not let this login write to {repo_id}: use your own name as its owner, and a "
            "token that may write."
        )
    if status in (409, 412):
        return UserError(
            f"{repo_id} was changed by somebody else meanwhile, or its name is taken: look at it, then try again."
        )
    return UserError(
        f"The Hugging Face Hub refused the upload of {repo_id} (status {status}): try again later; the exported model "
        "is still here."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
