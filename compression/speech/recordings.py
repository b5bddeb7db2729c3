"""Recordings by name and by folder: what speech models are calibrated and measured on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compression import hub, store
from compression.errors import UserError
from compression.speech import audio
from compression.speech.clips import Clip, Recordings
from compression.texts import read_file
from compression.types import Progress, SpeechSource

DEFAULT_RECORDINGS = "librivox"
"""What speech models are calibrated on where nothing is named."""
DEFAULT_TEST = "cards"
"""What they are measured on then."""
MAX_TOTAL_SECONDS = 4 * 3600.0
"""Longest recordings may be together: 0.9 GB of samples in memory."""
HUB_CLIPS = 200
"""How many clips of a set from the Hub are taken unless another number is asked for: about 25 minutes."""
TRANSCRIPTS = "transcripts.tsv"
SUFFIXES = (".flac", ".wav", ".mp3", ".ogg")
"""Endings of the audio files of a folder; of several for one clip the first is taken."""
NAMED_AT_MOST = 5
"""How many of the files without a transcript are named."""

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class RecordingsSpec:
    """Recordings that can be asked for by name.

    Attributes:
        name: what to type.
        title: what to show.
        description: what they are, and where they come from.
    """

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class _HubRecordings:
    """One parquet file of a pinned data set on the Hub, with the columns ``id``, ``text`` and ``audio``."""

    repo_id: str
    commit: str
    path: str


_LIBRISPEECH = ("openslr/librispeech_asr", "71cacbfb7e2354c4226d01e70d77d5fca3d04ba1")
_HUB_RECORDINGS = {
    "librispeech-test-clean": _HubRecordings(*_LIBRISPEECH, "all/test.clean/0000.parquet"),
    "librispeech-test-other": _HubRecordings(*_LIBRISPEECH, "all/test.other/0000.parquet"),
    "librispeech-dev-clean": _HubRecordings(*_LIBRISPEECH, "all/validation.clean/0000.parquet"),
    "librispeech-dev-other": _HubRecordings(*_LIBRISPEECH, "all/validation.other/0000.parquet"),
    "librispeech-dummy": _HubRecordings(
        "hf-internal-testing/librispeech_asr_dummy",
        "5be91486e11a2d616f4ec5db8d3fd248585ac07a",
        "clean/validation-00000-of-00001.parquet",
    ),
}

RECORDINGS: dict[str, RecordingsSpec] = {
    spec.name: spec
    for spec in (
        RecordingsSpec(
            "librivox",
            "LibriVox, five clips",
            "Five sentences of Sense and Sensibility, read aloud (25 s, one voice), built in.",
        ),
        RecordingsSpec(
            "cards",
            "Playing cards, five clips",
            "Five commands that name playing cards (10 s), built in.",
        ),
        RecordingsSpec(
            "librispeech-test-clean",
            "LibriSpeech, test-clean",
            "Clips of LibriSpeech test-clean, spread evenly over its 40 voices; from the Hub (0.35 GB).",
        ),
        RecordingsSpec(
            "librispeech-test-other",
            "LibriSpeech, test-other",
            "Clips of LibriSpeech test-other, harder to understand, spread evenly over its 33 voices; from the Hub "
            "(0.33 GB).",
        ),
        RecordingsSpec(
            "librispeech-dev-clean",
            "LibriSpeech, dev-clean",
            "Clips of LibriSpeech dev-clean, spread evenly over its 40 voices, none of them in test-clean; from the "
            "Hub (0.35 GB).",
        ),
        RecordingsSpec(
            "librispeech-dev-other",
            "LibriSpeech, dev-other",
            "Clips of LibriSpeech dev-other, spread evenly over its 33 voices, none of them in test-other; from the "
            "Hub (0.35 GB).",
        ),
        RecordingsSpec(
            "librispeech-dummy",
            "LibriSpeech, 73 clips of dev-clean",
            "The 73 clips of dev-clean that libraries are tested with; a small download from the Hub (9 MB).",
        ),
    )
}


@dataclass(frozen=True)
class _Entry:
    """A recording that has not been read yet: its identifier, what is said, the audio file or its content."""

    id: str
    text: str
    audio: Path | bytes

    @property
    def name(self) -> str:
        return self.audio.name if isinstance(self.audio, Path) else self.id


def load_recordings(name_or_path: str, max_clips: int = HUB_CLIPS) -> Generator[Progress, None, Recordings]:
    """Load recordings of `RECORDINGS` by name, or a folder of audio files with their ``transcripts.tsv``.

    The file holds a line for each recording: its identifier, a tab, what is said; a first line ``id``, tab, ``text`` is
    skipped. The audio is ``IDENTIFIER.flac``, ``.wav``, ``.mp3`` or ``.ogg`` beside it. A recording that cannot be used
    is left out, and the result says why.

    Args:
        name_or_path: a name or a folder.
        max_clips: how many clips of a set from the Hub to take, spread evenly over it.

    Yields:
        Progress of a download where one is needed, and of reading.

    Returns:
        The recordings with their transcripts, in the order of the transcripts, and what was left out.

    Raises:
        UserError: if there is no such name or folder, nothing in it can be used, or it lasts too long.
    """
    if name_or_path in _HUB_RECORDINGS:
        entries = yield from _from_hub(_HUB_RECORDINGS[name_or_path], max_clips)
        return (yield from _read(name_or_path, entries))
    if name_or_path in RECORDINGS:
        return (yield from _read(name_or_path, _folder(_DATA / name_or_path)))
    folder = Path(os.path.expanduser(name_or_path))
    if not name_or_path.strip() or not os.path.lexists(folder):
        raise UserError(
            f"There are no recordings or folder {name_or_path[:200]!r}: choose {', '.join(RECORDINGS)}, or a folder "
            f"with audio files and {TRANSCRIPTS}."
        )
    return (yield from _read(folder.resolve().name or str(folder), _folder(folder)))


def held_out(recordings: Recordings, calibrated: Recordings) -> Recordings:
    """Recordings without those that a model was calibrated on, whatever they are called there.

    Raises:
        UserError: if none is left.
    """
    used = {_sound(clip) for clip in calibrated.clips}
    kept = tuple(clip for clip in recordings.clips if _sound(clip) not in used)
    if len(kept) == len(recordings.clips):
        return recordings
    if not kept:
        raise UserError(
            f"All recordings of {recordings.source.name} are among those for calibration, {calibrated.source.name}: "
            "name others to measure on, or to calibrate on."
        )
    heard = len(recordings.clips) - len(kept)
    left_out = (*recordings.left_out, f"Recordings that the calibration has heard, and left out: {heard}.")
    return Recordings(_source(recordings.source.name, kept), kept, left_out)


def _sound(clip: Clip) -> bytes:
    return hashlib.sha256(clip.samples.astype("<f4").tobytes()).digest()


def _source(name: str, clips: Sequence[Clip]) -> SpeechSource:
    return SpeechSource(name, _fingerprint(clips), len(clips), sum(clip.seconds for clip in clips))


def example_clips() -> tuple[Clip, ...]:
    """Return the LibriVox clips that come with the program, with their transcripts."""
    entries = [entry for entry in _folder(_DATA / "librivox") if isinstance(entry, _Entry)]
    return tuple(Clip(entry.id, audio.read_audio(entry.audio), entry.text) for entry in entries)


def example_path(id: str) -> Path:
    """Return the file of one of `example_clips`."""
    return _DATA / "librivox" / f"{id}.flac"


def _read(name: str, entries: Sequence[_Entry | str]) -> Generator[Progress, None, Recordings]:
    """Read what can be read.

    Args:
        name: what was asked for.
        entries: recordings, and a sentence in the place of each that is left out already.
    """
    total = 0.0
    for entry in entries:
        if isinstance(entry, _Entry):
            with contextlib.suppress(UserError):  # said below
                total += audio.seconds(entry.audio)
        if total > MAX_TOTAL_SECONDS:
            raise UserError(
                f"The recordings of {audio.shown(name)} last more than {MAX_TOTAL_SECONDS / 3600:.0f} hours together, "
                "which is all that is accepted: take fewer of them."
            )
    clips, left_out = [], []
    for done, entry in enumerate(entries):
        if isinstance(entry, str):
            left_out.append(entry)
            continue
        yield Progress("read", done, len(entries), f"Reading recordings: {done} of {len(entries)}")
        try:
            clips.append(Clip(entry.id, audio.read_audio(entry.audio, name=entry.name), entry.text))
        except UserError as error:
            left_out.append(str(error))
    if not clips:
        reason = left_out[0] if left_out else "there is none."
        raise UserError(f"No recording of {audio.shown(name)} can be used: {reason}")
    return Recordings(_source(name, clips), tuple(clips), tuple(left_out))


def _fingerprint(clips: Sequence[Clip]) -> str:
    """SHA-256 over identifiers, transcripts and samples; a length before each keeps them apart."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.id, clip.text, len(clip.samples)]).encode() + b"\n")
        digest.update(clip.samples.astype("<f4").tobytes())
    return digest.hexdigest()


def _folder(folder: Path) -> list[_Entry | str]:
    """List the recordings of a folder in the order of its transcripts, and say which are left out and why."""
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: give the folder that holds it and {TRANSCRIPTS}.")
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    if not (folder / TRANSCRIPTS).exists():
        raise UserError(
            f"{folder} has no {TRANSCRIPTS}: a file with a line for each recording was expected, its name without the "
            "ending, a tab, and what is said."
        )
    if not files:
        raise UserError(f"{folder} holds no audio: wav, flac, mp3 or ogg files beside {TRANSCRIPTS} were expected.")
    # The first of `SUFFIXES` comes last, and stays.
    files.sort(key=lambda path: (-SUFFIXES.index(path.suffix.lower()), path.name))
    by_id = {path.stem: path for path in files}
    entries: list[_Entry | str] = []
    seen: set[str] = set()
    for number, line in enumerate(read_file(folder / TRANSCRIPTS).split("\n"), 1):
        if line.strip() and (number > 1 or line.strip().lower() != "id\ttext"):
            entries.append(_entry(line, number, by_id, seen))
    unused = sorted(path.name for path in files if path.stem not in seen or by_id[path.stem] != path)
    if unused:
        named = ", ".join(map(audio.shown, unused[:NAMED_AT_MOST]))
        more = f" and {len(unused) - NAMED_AT_MOST} more" if len(unused) > NAMED_AT_MOST else ""
        entries.append(f"Without a line of its own in {TRANSCRIPTS}, and left out: {named}{more}.")
    return entries


def _entry(line: str, number: int, by_id: dict[str, Path], seen: set[str]) -> _Entry | str:
    """Read a line of a transcripts.tsv, or say why its recording is left out.

    Args:
        line: identifier, tab, what is said.
        number: of the line, from 1.
        by_id: the audio files of the folder; nothing else is ever opened.
        seen: identifiers of the lines before; this one's is added.
    """
    id, tab, text = line.partition("\t")
    id, text = id.strip(), text.strip()
    if not id or not tab:
        return f"Line {number} of {TRANSCRIPTS} is left out: an identifier, a tab and what is said were expected."
    name = audio.shown(id)
    if id in seen:
        return f"Line {number} of {TRANSCRIPTS} is left out: {name} has a line before it."
    seen.add(id)
    if "/" in id or "\\" in id:
        return f"{name} is left out: a file in the folder itself was expected."
    if id not in by_id:
        return f"{name} is left out: its audio is missing, a file of that name ending in {', '.join(SUFFIXES)}."
    if not any(character.isalnum() for character in text):
        return f"{name} is left out: its transcript has no words."
    return _Entry(id, text, by_id[id])


def _from_hub(source: _HubRecordings, max_clips: int) -> Generator[Progress, None, list[_Entry | str]]:
    """Fetch the one file of a set unless it is there, and take clips spread evenly over it."""
    known = store.root() / "recordings" / f"{store.content_key(source)[:16]}.json"
    file = store.cached_json(known, hub.HubFile)
    try:
        if file is None:
            yield Progress("download", 0, 1, f"Asking the Hugging Face Hub for {source.repo_id}")
            file = hub.list_dataset_file(source.repo_id, source.commit, source.path)
        folder = yield from hub.fetch_files(source.repo_id, source.commit, (file,), repo_type="dataset")
    except hub.HubUnreachableError as error:
        raise UserError(f"{error} Check the network, or use librivox and cards, which need no Hub.") from error
    store.write_cached(known, file)
    from datasets import Audio, load_dataset
    from pyarrow import parquet

    path = str(folder / source.path)
    rows = load_dataset(
        "parquet", data_files={"train": path}, split="train", streaming=True, cache_dir=str(store.root() / "datasets")
    )
    # Undecoded: `datasets` would need torchcodec for that, and samples are checked and resampled here.
    rows = rows.select_columns(["id", "text", "audio"]).cast_column("audio", Audio(decode=False))
    total = parquet.read_metadata(path).num_rows
    return [
        # LibriSpeech writes capitals only, which no model does.
        _Entry(row["id"], row["text"].lower(), row["audio"]["bytes"])
        for index, row in enumerate(rows)
        if index * max_clips // total < (index + 1) * max_clips // total
    ]
