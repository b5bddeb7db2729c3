"""Hostile and clumsy input: ``PYTHONPATH=. python tests/fuzz.py --examples 1000`` tries every public entry, and counts.

Each entry is given values that nobody sensible would give, and valid ones that were damaged: it must refuse them in one
sentence or give a result, in a few seconds, and must write nothing outside the cache and ask nothing off this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import math
import os
import struct
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from deployment_samples import QUESTIONS
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from real_app import running_app
from tiny import SENTENCES, finish, write_tiny_llama

from compression import api, models, runs_csv, store, texts
from compression.__main__ import main as main_of_commands
from compression.adaptation.task_files import read_examples
from compression.commands import load_all
from compression.commands.shared import app
from compression.deployment.recipe import read_recipe
from compression.errors import UserError
from compression.export import from_pretrained
from compression.gallery import all_policies, find_gallery
from compression.publish import check_repo_id
from compression.recipe import DENSE, OWN, Recipe, parse_pins, parse_setting
from compression.session import Session, session_from_json
from compression.speech.audio import read_audio
from compression.speech.recordings import load_recordings
from compression.sweeping.recipe import read_sweep
from compression.verification import verify_directory
from compression.workbench import Workbench
from compression.zero_shot.tasks import read_items

NAMES = (
    "API analyze",
    "API allocate",
    "API predict",
    "API compare",
    "API evaluate",
    "command line",
    "recipe of a pipeline",
    "recipe of a sweep",
    "CSV of runs",
    "runs kept by a browser",
    "address of the page",
    "pins",
    "settings",
    "Hub repository to publish to",
    "text file",
    "instruction pairs",
    "benchmark items",
    "examples of a task",
    "transcripts",
    "audio",
    "model: safetensors",
    "model: config.json",
    "model: tokenizer.json",
    "compressed model: report",
    "compressed model: weights",
)
"""Of the entries, so that tests can be named without making the files that some of them need."""
OVER_HTTP = "API over HTTP"
"""What the whole run tries besides: it needs a running app."""
OVER_HTTP_EXAMPLES = 200
KNOWN_MODEL = "smollm2-135m-q4"
SECONDS = 20.0
"""No answer to a small input may take longer."""
LONGEST = 2000
"""Characters of a sentence, the lists of names that some end with included."""

NASTY = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "../../etc/passwd",
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "..\\..\\windows",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "https://example.com/model",
        "a/b@main; rm -rf /",
        "$(touch /tmp/pwned)",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "\ufeff",
        "\u202egnp.exe",
        "\u2028",
        "NaN",
        "inf",
        "-0",
        "1e999",
        "9" * 400,
        "a" * 5000,
        "{}" * 400,
        "[" * 3000,
        "🦆" * 50,
        "con",
        "smollm2-135m-q4\n",
        "[/x]",
        "[red]x[/]",
        ":smile:",
    ]
)
TEXT = st.one_of(NASTY, st.text(max_size=60))
NUMBER = st.one_of(
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 1, 2, 0.2, -1, 0.95, 0.9500001, math.nan, math.inf]),
)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def damaged(draw: Callable[[Any], Any], valid: bytes) -> bytes:
    """A valid file in which some bytes are others, more, or fewer."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(("flip", "cut", "insert", "repeat", "zero")))
        if kind == "flip" and data:
            data[place] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[place : place + draw(st.integers(1, 200))]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=40))
        elif kind == "repeat":
            data[place:place] = data[place : place + draw(st.integers(1, 100))] * draw(st.integers(1, 20))
        else:
            data[place : place + 8] = bytes(min(8, len(data) - place))
    return bytes(data)


def junk_or(valid: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, or a valid file that was damaged."""
    return st.one_of(st.binary(max_size=300), TEXT.map(lambda text: text.encode("utf-8", "replace")), damaged(valid))


@dataclass
class Entry:
    """One way in.

    Attributes:
        values: what it is given.
        use: gives it; raises `UserError` for what is refused.
    """

    values: st.SearchStrategy[Any]
    use: Callable[[Any], Any]


@dataclass
class Counts:
    """What came of it."""

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


@functools.cache
def _folder() -> Path:
    """Where the files of this process lie."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    set_hypothesis_home_dir(folder / "hypothesis")
    return folder


def _file(data: bytes, name: str) -> Path:
    file = _folder() / name
    if file.is_dir() or (file.parent != _folder() and not file.parent.is_dir()):
        store.remove(file)
        file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


@functools.cache
def _tiny() -> dict[str, bytes]:
    """The files of a real, small model."""
    place = _folder() / "tiny-source"
    write_tiny_llama(place)
    return {file.name: file.read_bytes() for file in place.iterdir()}


@functools.cache
def _compressed() -> dict[str, bytes]:
    """The files of the same model, compressed."""
    source, place, text = _folder() / "tiny-source", _folder() / "tiny-compressed", _folder() / "text.txt"
    _tiny()
    text.write_text(" ".join(SENTENCES) * 40, encoding="utf-8")
    calibration = {"calibration_text": str(text), "num_sequences": 4, "sequence_length": 32}
    recipe = Recipe(str(source), "svd", "uniform", 0.3, **calibration)  # type: ignore[arg-type]
    finish(Workbench().compress_to(recipe, place))
    return {file.name: file.read_bytes() for file in place.iterdir()}


def _model_with(files: dict[str, bytes], name: str, data: bytes) -> str:
    """A folder with those files, one of which is another."""
    folder = _folder() / "model"
    store.remove(folder)
    folder.mkdir()
    for each, content in (files | {name: data}).items():
        (folder / each).write_bytes(content)
    return str(folder)


def _load(folder: str) -> None:
    finish(models.load(folder))


def _open_compressed(folder: str) -> None:
    from_pretrained(folder)


def _verify(folder: str) -> None:
    finish(verify_directory(Path(folder)))


def _header(header: bytes, claimed: int) -> bytes:
    return struct.pack("<Q", claimed % 2**64) + header


def _safetensors() -> st.SearchStrategy[bytes]:
    """Damaged weights; headers of any length, also claimed ones; offsets that overlap or lie outside."""
    offsets = st.lists(st.integers(-5, 2**62), min_size=0, max_size=3)
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "I64", "F8", "", 3]),
            "shape": st.lists(st.integers(-2, 2**40), max_size=4),
            "data_offsets": offsets,
        }
    )
    header = st.dictionaries(st.one_of(TEXT, st.just("model.embed_tokens.weight")), entry, max_size=3)
    built = st.builds(
        lambda content, claimed: _header(json.dumps(content).encode(), claimed or len(json.dumps(content))),
        header,
        st.one_of(st.just(0), st.integers(0, 2**64 - 1)),
    )
    return st.one_of(junk_or(_tiny()["model.safetensors"]), built)


def _wav(frames: bytes = bytes(3200)) -> bytes:
    file = _folder() / "valid.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(frames)
    return file.read_bytes()


def _recordings(data: bytes) -> None:
    folder = _folder() / "recordings"
    store.remove(folder)
    folder.mkdir()
    (folder / "transcripts.tsv").write_bytes(data)
    (folder / "one.wav").write_bytes(_wav())
    finish(load_recordings(str(folder)))


def _ask(question: str) -> Callable[[Any], None]:
    def ask(arguments: tuple[Any, ...]) -> None:
        with contextlib.closing(api.STEPS[question](*arguments)) as steps:
            try:
                next(steps)  # what would need a model goes no further: it would be loaded from wherever the id says
            except StopIteration as stop:
                json.dumps(api.plain(stop.value), allow_nan=False)

    return ask


@functools.cache
def _known() -> dict[str, st.SearchStrategy[tuple[Any, ...]]]:
    """Question → arguments that are answered with what came with the app."""
    gallery = find_gallery(KNOWN_MODEL, api.ASSETS)
    assert gallery is not None
    model, policies = st.just(KNOWN_MODEL), st.sampled_from([OWN, *all_policies()])
    methods = st.sampled_from([method.name for method in gallery.methods])
    runs = st.sampled_from([(run.method, run.policy, run.removed_fraction_target) for run in gallery.comparison.runs])
    return {
        "analyze": st.tuples(model),
        "allocate": st.tuples(model, st.just(api.CURVE_METHOD), policies, st.sampled_from(gallery.analysis.slider)),
        "predict": st.tuples(model, methods, policies, st.floats(0, 0.6)),
        "compare": runs.map(lambda run: (KNOWN_MODEL, [run[0]], run[1], run[2])),
        "evaluate": st.just((KNOWN_MODEL, DENSE, OWN, 0)),
    }


def _is_known(question: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an answer needs no model, which an app would fetch."""
    with contextlib.closing(api.STEPS[question](*arguments)) as steps:
        return next(steps, None) is None


def post(url: str, question: str, values: Any) -> Any:
    """Ask an endpoint of a running app as any program can, without a client that checks what is sent.

    Returns:
        The answer.

    Raises:
        UserError: with what the app says where it refuses.
    """
    address = f"{url}/gradio_api/call/{question}"
    body = json.dumps({"data": values})  # where NaN may stand, which httpx does not write
    asked = httpx.post(address, content=body, headers={"Content-Type": "application/json"}, timeout=SECONDS)
    if asked.status_code == 422:  # it is no list
        raise UserError("refused by the schema of the request.")
    asked.raise_for_status()
    said = httpx.get(f"{address}/{asked.json()['event_id']}", timeout=SECONDS)
    said.raise_for_status()
    *_, event, content = said.text.strip().splitlines()
    answer = json.loads(content.removeprefix("data: "))
    if event == "event: error":
        raise UserError(answer["error"])
    assert event == "event: complete", said.text[-300:]
    return answer


def over_http(url: str) -> Entry:
    """All endpoints of an app that runs at an address of this machine, which must not have a way to any model."""
    junk = st.one_of(PLAIN, st.lists(TEXT | PLAIN, max_size=5))

    def known(question: str) -> st.SearchStrategy[tuple[Any, ...]]:
        return _known()[question].filter(lambda arguments: _is_known(question, arguments))

    values = st.tuples(st.sampled_from(sorted(api.STEPS)), st.booleans()).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), known(kind[0]) if kind[1] else junk)
    )

    def ask(asked: tuple[str, Any]) -> None:
        question, given = asked
        post(url, question, list(given) if isinstance(given, tuple) else given)

    return Entry(values, ask)


def _command(arguments: list[str]) -> None:
    """A command line, as a shell gives it; a refusal is what `main` prints, or what Typer says of an option."""
    said = io.StringIO()
    before = sys.argv
    # No argument that a shell can give holds a zero.
    sys.argv = ["compression", *(text.replace("\0", "") for text in arguments)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            main_of_commands()
    except SystemExit as ended:
        if ended.code:
            sentence = said.getvalue().partition("error: ")[2].removesuffix("\n")
            raise UserError(sentence or "refused by the command line.") from None
    finally:
        sys.argv = before


def _commands() -> st.SearchStrategy[list[str]]:
    """Names of commands with options that exist and values that do not fit, or any words. No model is ever named."""
    load_all()
    from typer.main import get_command

    group: Any = get_command(app)
    lines = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        for words, each in [([name], command)] if inner is None else [([name, n], c) for n, c in inner.items()]:
            if not any(parameter.required for parameter in each.params):
                continue  # it would begin real work, which is no input
            options = [option for parameter in each.params for option in parameter.opts if option.startswith("--")]
            lines.append((words, options))
    word = st.one_of(TEXT, NUMBER.map(str)).map(lambda text: f"no-such-{text}" if text[:1] in "abcms" else text)

    def line(chosen: tuple[list[str], list[str]]) -> st.SearchStrategy[list[str]]:
        words, options = chosen
        option = st.sampled_from(options) if options else TEXT
        return st.builds(
            lambda first, pairs: [*words, *first, *(part for pair in pairs for part in pair)],
            st.lists(word, max_size=2),
            st.lists(st.tuples(option, word), min_size=1, max_size=4),
        )

    return st.one_of(st.sampled_from(lines).flatmap(line), st.lists(word, max_size=5))


VALID_RECIPE = {
    "model": "smollm2-135m-q4",
    "compress": {"method": "compot", "ratio": 0.2},
    "quantize": {"bits": 4},
    "tune": {"search": {"compress.ratio": {"low": 0.1, "high": 0.3}}},
}
VALID_SWEEP = {"models": ["smollm2-135m-q4"], "methods": ["svd"], "budgets": [0.2], "tasks": ["perplexity"]}


def _yaml(valid: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Damaged text, bombs of aliases, tags that make objects, and well-formed recipes of the wrong things."""
    keys = st.sampled_from(sorted(valid))
    replaced = st.builds(lambda key, value: yaml.safe_dump({**valid, key: value}).encode(), keys, PLAIN)
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n".encode() for i in range(8)
    )
    tags = st.sampled_from([b"!!python/object/apply:os.system ['touch /tmp/pwned']", b"model: !!binary x", bomb])
    return st.one_of(junk_or(yaml.safe_dump(valid).encode()), replaced, tags)


def _csv() -> bytes:
    return (
        b"model,measured_on,convention,metric,quality,stored_bytes,name\r\n"
        b"tiny,text,windows,perplexity,12.5,1000,a\r\n"
        b"tiny,text,windows,perplexity,11,2000,b\r\n"
    )


def _read_text(text: str) -> None:
    runs_csv.from_csv(text, Session())


def _items(data: bytes) -> None:
    read_items("piqa", _file(data, "piqa.jsonl"))


def _examples(data: bytes) -> None:
    read_examples(_file(data, "sst2.tsv"), "sst2", ("0", "1"), 1)


def _text_file(data: bytes) -> None:
    finish(texts.load_text(str(_file(data, "text.txt"))))


def _pairs_file(data: bytes) -> None:
    finish(texts.load_text(str(_file(data, "pairs.jsonl"))))


def _address(query: dict[str, str]) -> None:
    from views.address import read_address

    read_address(query)


def entries() -> dict[str, Entry]:
    """All of them, by name."""
    model, method, policy = TEXT | PLAIN, TEXT | st.just("svd"), TEXT | st.just("uniform")
    four = st.tuples(model, method, policy, NUMBER | PLAIN)
    many = st.tuples(model, st.lists(TEXT, max_size=4) | PLAIN, policy, NUMBER | PLAIN)
    questions = {"analyze": st.tuples(model), "allocate": four, "predict": four, "compare": many, "evaluate": four}
    tiny, compressed = _tiny(), _compressed()
    items = "\n".join(map(json.dumps, QUESTIONS)).encode()
    return {
        **{
            f"API {question}": Entry(st.one_of(values, _known()[question]), _ask(question))
            for question, values in questions.items()
        },
        "command line": Entry(_commands(), _command),
        "recipe of a pipeline": Entry(_yaml(VALID_RECIPE), lambda data: read_recipe(_file(data, "recipe.yaml"))),
        "recipe of a sweep": Entry(_yaml(VALID_SWEEP), lambda data: read_sweep(_file(data, "sweep.yaml"))),
        "CSV of runs": Entry(
            st.one_of(TEXT, damaged(_csv()).map(lambda data: data.decode("utf-8", "replace"))), _read_text
        ),
        "runs kept by a browser": Entry(
            st.one_of(TEXT, PLAIN.map(lambda value: json.dumps(value, default=str))), session_from_json
        ),
        "address of the page": Entry(
            st.dictionaries(st.sampled_from(["model", "method", "policy", "ratio", "site", "pins"]) | TEXT, TEXT),
            _address,
        ),
        "pins": Entry(TEXT, parse_pins),
        "settings": Entry(TEXT, parse_setting),
        "Hub repository to publish to": Entry(TEXT, check_repo_id),
        "text file": Entry(junk_or(" ".join(SENTENCES).encode()), _text_file),
        "instruction pairs": Entry(junk_or(b'{"instruction": "a", "output": "b"}\n'), _pairs_file),
        "benchmark items": Entry(junk_or(items), _items),
        "examples of a task": Entry(junk_or(b"a film\t1\nanother\t0\n"), _examples),
        "transcripts": Entry(junk_or(b"id\ttext\none\thello there\n"), _recordings),
        "audio": Entry(junk_or(_wav()), lambda data: read_audio(data)),
        "model: safetensors": Entry(_safetensors(), lambda data: _load(_model_with(tiny, "model.safetensors", data))),
        "model: config.json": Entry(
            st.one_of(junk_or(tiny["config.json"]), _changed(tiny["config.json"])),
            lambda data: _load(_model_with(tiny, "config.json", data)),
        ),
        "model: tokenizer.json": Entry(
            junk_or(tiny["tokenizer.json"]), lambda data: _load(_model_with(tiny, "tokenizer.json", data))
        ),
        "compressed model: report": Entry(
            st.one_of(junk_or(compressed["compression.json"]), _changed(compressed["compression.json"])),
            lambda data: _open_compressed(_model_with(compressed, "compression.json", data)),
        ),
        "compressed model: weights": Entry(
            junk_or(compressed["model.safetensors"]),
            lambda data: _verify(_model_with(compressed, "model.safetensors", data)),
        ),
    }


def _changed(valid: bytes) -> st.SearchStrategy[bytes]:
    """A JSON object in which one value is another, of any type and size."""
    content = json.loads(valid)
    keys = st.sampled_from(sorted(content))
    return st.builds(lambda key, value: json.dumps({**content, key: value}, default=str).encode(), keys, PLAIN)


def try_entry(entry: Entry, examples: int, number: int = 0) -> Counts:
    """Give an entry so many values."""
    counts = Counts()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.values)
    def tried(value: Any) -> None:
        began = time.perf_counter()
        try:
            entry.use(value)
            counts.accepted += 1
        except UserError as error:
            counts.refused += 1
            said = str(error)
            if (
                "\n" in said
                or "Traceback" in said
                or not said.rstrip().endswith((".", ":", "?"))
                or len(said) > LONGEST
            ):
                counts.failures.append(f"no sentence: {said[:200]!r} for {str(value)[:200]!r}")
        except Exception as error:
            counts.failures.append(f"{type(error).__name__}: {str(error)[:200]} for {str(value)[:300]!r}")
        took = time.perf_counter() - began
        counts.slowest = max(counts.slowest, took)
        if took > SECONDS:
            counts.failures.append(f"{took:.0f} s for {str(value)[:200]!r}")

    tried()
    return counts


class Watched:
    """What the process asks of the network and of the disk while it is watched."""

    def __init__(self) -> None:
        """Watch nothing yet; an audit hook stays as long as the process."""
        self.inside: tuple[str, ...] | None = None
        self.outside: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
                self.outside.add(f"connects to {address}")
        elif event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "::1", "localhost", None):
            self.outside.add(f"looks up {arguments[0]}")
        elif event == "open" and isinstance(arguments[0], str):
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._wrote(arguments[0])
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink"):
            # Of a link only the second is made; a rename takes one away and makes the other.
            places = {"os.rename": arguments[:2], "os.link": arguments[1:2], "os.symlink": arguments[1:2]}
            for place in places.get(event, arguments[:1]):
                if isinstance(place, (str, os.PathLike)):
                    self._wrote(os.fspath(place))
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.outside.add(f"starts {os.fsdecode(arguments[0])}")

    def _wrote(self, name: str) -> None:
        path = os.path.abspath(name)
        assert self.inside is not None
        if not path.startswith((*self.inside, "/dev/", "/proc/")) and "__pycache__" not in path:
            self.outside.add(f"writes {path}")

    @contextlib.contextmanager
    def within(self, *folders: Path) -> Iterator[None]:
        """Note whatever is outside of these folders."""
        self.inside = tuple(str(folder) for folder in folders)
        try:
            yield
        finally:
            self.inside = None


@functools.cache
def watched() -> Watched:
    """The one of this process."""
    return Watched()


def main() -> int:
    """Try all entries and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="entries whose name has this in it")
    asked = parser.parse_args()
    os.environ["COMPRESSION_CACHE"] = str(_folder() / "cache")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.chdir(_folder())
    with contextlib.ExitStack() as running:
        everything = entries()
        if asked.only in OVER_HTTP:
            more = {"COMPRESSION_CACHE": str(_folder() / "cache-of-the-app"), "PIP_NO_INDEX": "1"}
            log = _folder() / "app.log"
            url = running.enter_context(running_app([sys.executable, "app.py"], log, more))
            everything[OVER_HTTP] = over_http(url)
        failed = _try_all({name: entry for name, entry in everything.items() if asked.only in name}, asked)
        if OVER_HTTP in everything and "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
            print(f"The app's log has a traceback: {log}")
            failed = True
    return int(failed)


def _try_all(chosen: dict[str, Entry], asked: argparse.Namespace) -> bool:
    """Print the table; whether anything failed."""
    watch, failed, total = watched(), 0, 0
    print(f"{'entry':32}{'inputs':>8}{'refused':>9}{'accepted':>10}{'failures':>10}{'slowest, s':>12}")
    for name, entry in chosen.items():
        examples = min(asked.examples, OVER_HTTP_EXAMPLES) if name == OVER_HTTP else asked.examples
        with watch.within(_folder()):
            counts = try_entry(entry, examples, asked.seed)
        inputs = counts.accepted + counts.refused + len(counts.failures)
        total += counts.accepted + counts.refused
        failed += len(counts.failures)
        print(
            f"{name:32}{inputs:>8}{counts.refused:>9}{counts.accepted:>10}{len(counts.failures):>10}{counts.slowest:>12.2f}",
            flush=True,
        )
        for failure in counts.failures[:3]:
            print("   ", failure, flush=True)
    print(f"{total} inputs, {failed} failures; outside the cache: {sorted(watch.outside) or 'nothing'}")
    return bool(failed or watch.outside)


if __name__ == "__main__":
    raise SystemExit(main())
