"""The five questions: as Python, over HTTP, and as tools of an MCP server; what came with the app needs no model."""

from __future__ import annotations

import asyncio
import doctest
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fuzz
import pydantic
import pytest
from gradio.utils import get_function_description
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from real_app import ROOT, running_app
from tiny import SENTENCES, write_tiny_llama
from typer.testing import CliRunner

from compression import api, store, texts
from compression.__main__ import app
from compression.commands.shared import SCHEMAS
from compression.errors import UserError
from compression.forecast import ForecastReport
from compression.gallery import load_gallery
from compression.types import Allocation, PerplexityReport
from views import api as endpoints
from views.line import Place

MODEL = "smollm2-135m-q4"
ASKED = (MODEL, "compot-fisher", "own", 0.2)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real app, with an empty cache: a model that is loaded would have to be fetched first."""
    folder = tmp_path_factory.mktemp("api")
    more = {"COMPRESSION_CACHE": str(folder / "cache"), "PIP_NO_INDEX": "1"}
    with running_app([sys.executable, "app.py"], folder / "app.log", more) as address:
        yield address
    assert "Traceback" not in (folder / "app.log").read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def tiny(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny model in a folder, and a text of ours in place of the built-in ones."""
    write_tiny_llama(tmp_path / "tiny")
    file = tmp_path / "tiny" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"max_position_embeddings": 600}), encoding="utf-8")
    text = " ".join(SENTENCES * 400)

    def loader() -> Any:
        return text
        yield

    for name in (texts.DEFAULT_CALIBRATION, texts.DEFAULT_EVALUATION):
        monkeypatch.setitem(texts._LOADERS, name, loader)
    return str(tmp_path / "tiny")


def is_known(question: str, *arguments: Any) -> bool:
    """Whether the engine need not be asked."""
    return not any(True for _ in itertools.islice(api.STEPS[question](*arguments), 1))


def test_the_examples_in_the_documentation_are_true() -> None:
    tried = doctest.testmod(api)
    assert tried.attempted >= 5 and not tried.failed


def test_what_came_with_the_app_needs_no_torch() -> None:
    program = (
        "import sys; from compression import api; "
        f"api.analyze({MODEL!r}); api.allocate(*{ASKED!r}); api.predict(*{ASKED!r}); "
        f"api.compare({MODEL!r}, ['compot', 'svd-llm'], 'own', 0.2); api.evaluate({MODEL!r}, 'dense', 'own', 0); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


def test_every_stored_forecast_needs_no_torch() -> None:
    program = (
        "import sys; from compression import api\n"
        f"for model in ({MODEL!r}, 'whisper-tiny.en'):\n"
        "    for table in api.find_gallery(model, api.ASSETS).forecasts:\n"
        "        assert api.predict(model, table.method, table.policy, 0.2) == table.at((0.2,)), table.method\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


def test_answers_are_those_of_the_gallery() -> None:
    known = load_gallery(ROOT / "assets" / MODEL)
    table = next(f for f in known.forecasts if (f.method, f.policy) == ("compot-fisher", "fisher"))
    assert api.predict(*ASKED) == table.at((0.2,))
    assert api.allocate(*ASKED) == known.analysis.allocation_at("fisher", 0.2)
    assert api.analyze(MODEL) == known.analysis
    runs = api.compare(MODEL, ["svd-llm", "compot"], "uniform", 0.2).runs
    assert [(run.method, run.policy, run.removed_fraction_target) for run in runs] == [
        ("svd-llm", "uniform", 0.2),
        ("compot", "uniform", 0.2),
    ]
    assert all(run in known.comparison.runs for run in runs)
    assert is_known("compare", MODEL, ["compot"], "uniform", 0.2)
    assert not is_known("compare", MODEL, ["compot"], "uniform", 0.23)
    assert not is_known("evaluate", *ASKED)


QUESTIONS: dict[str, tuple[Any, ...]] = {
    "analyze": (MODEL,),
    "allocate": ASKED,
    "predict": ASKED,
    "compare": (MODEL, ["compot"], "uniform", 0.2),
    "evaluate": (MODEL, "dense", "own", 0),
}


@pytest.mark.parametrize("endpoint", endpoints.ENDPOINTS, ids=lambda each: each.__name__)
def test_an_endpoint_answers_by_the_schema_that_its_description_names(endpoint: Any) -> None:
    question = endpoint.__name__
    (answer,) = endpoint(*QUESTIONS[question])
    schema = pydantic.TypeAdapter(SCHEMAS[question])
    assert schema.validate_python(answer) == getattr(api, question)(*QUESTIONS[question])
    described = get_function_description(endpoint)[2]
    assert f"`python -m compression schema {question}` describes" in " ".join(described)


def test_another_model_is_worked_out_as_the_command_line_does(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert not is_known("allocate", tiny, "svd-llm", "pooled", 0.3)
    CliRunner().invoke(
        app, ["allocate", tiny, "--policy", "pooled", "--removed", "0.3", "--json", str(out)], catch_exceptions=False
    )
    assert api.allocate(tiny, "svd-llm", "pooled", 0.3) == store.read_json(out, Allocation)
    call = ["evaluate", tiny, "--window", "600", "--max-windows", str(api.MAX_WINDOWS), "--json", str(out)]
    CliRunner().invoke(app, call, catch_exceptions=False)
    dense = api.evaluate(tiny, "dense", "own", 0)
    assert dense.quality == store.read_json(out, PerplexityReport).perplexity
    comparison = api.compare(tiny, ["svd", "svd-llm"], "uniform", 0.5)
    assert [run.method for run in comparison.runs] == ["svd", "svd-llm"]
    assert comparison.dense.quality == dense.quality
    assert api.evaluate(tiny, "svd", "uniform", 0.5).quality == pytest.approx(comparison.runs[0].quality, rel=1e-6)
    assert len(api.analyze(tiny).spectra) == len(api.analyze(tiny).model.sites)
    assert isinstance(api.predict(tiny, "svd", "uniform", 0.2), ForecastReport)


BAD: list[tuple[str, tuple[Any, ...], str]] = [
    ("predict", (MODEL, "compost", "own", 0.2), "method: one of asvd, .*but 'compost' was given"),
    ("predict", (MODEL, "dense", "own", 0.2), "method: one of asvd"),
    ("predict", (MODEL, "compot", "mine", 0.2), "policy: one of own, uniform, .*but 'mine' was given"),
    ("predict", (MODEL, "compot", "own", "x"), "removed: a number from 0 to 0.95 was expected, but 'x' was given"),
    ("predict", (MODEL, "compot", "own", True), "removed: a number"),
    ("predict", (MODEL, "compot", "own", float("nan")), "removed: a number"),
    ("predict", (MODEL, "compot", "own", 10**400), "removed: a number from 0 to 0.95 was expected, but 1000"),
    ("predict", (MODEL, "compot", "own", 0.9), "removed: A forecast reaches from 0 to 0.6"),
    ("predict", ("nowhere", "compot", "own", 0.2), "model: There is no model 'nowhere'"),
    ("predict", ("/nowhere", "compot", "own", 0.2), "model: There is no model '/nowhere'"),
    ("allocate", (3, "compot", "own", 0.2), "model: a name of 1 to 300 characters was expected, but 3 was given"),
    ("allocate", (MODEL, ["compot"], "own", 0.2), "method: a name of"),
    ("analyze", ("x" * 400,), "model: a name of 1 to 300 characters"),
    ("compare", (MODEL, "compot", "own", 0.2), "methods: a list of 1 to 16 names was expected, but 'compot' was"),
    ("compare", (MODEL, [], "own", 0.2), "methods: a list of"),
    ("compare", (MODEL, ["compot", 7], "own", 0.2), "methods: a name of"),
    ("evaluate", (MODEL, "dense", "own", 0.2), "removed: the dense model loses nothing"),
    ("evaluate", (MODEL, "compot", None, 0.2), "policy: a name of"),
]


@pytest.mark.parametrize(("question", "arguments", "sentence"), BAD)
def test_bad_input_names_the_field(question: str, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        api.finish(api.STEPS[question](*arguments))


def test_a_folder_that_is_no_model_is_refused_under_its_field(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model: .*config\.json"):
        api.evaluate(str(tmp_path), "dense", "own", 0)


def test_few_requests_wait_for_the_engine_and_what_is_known_needs_no_place(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "WAITING", 2)

    def holding() -> Iterator[str]:
        yield "served"

    held = [endpoints.ENGINE.in_turn(holding, lambda place: place) for _ in range(2)]
    assert [next(each) for each in held] == ["served", Place(1, None)]
    with pytest.raises(UserError, match="2 requests are waiting for the engine already: ask again"):
        list(endpoints.allocate(tiny, "svd", "uniform", 0.2))
    (answer,) = endpoints.predict(*ASKED)
    assert answer["predictions"]
    held[1].close()
    asking = endpoints.allocate(tiny, "svd", "uniform", 0.2)
    assert next(asking) == {"progress": {"stage": "wait", "ahead": 1, "seconds": None}}
    held[0].close()
    *on_the_way, last = asking
    assert on_the_way[0]["progress"]["stage"] == "load" and last["target"] == 0.2 and not len(endpoints.ENGINE)
    with pytest.raises(UserError, match="model: "):
        list(endpoints.evaluate(str(Path(tiny).parent), "dense", "own", 0))
    assert not len(endpoints.ENGINE), "a refusal gives its place back"


def test_programs_ask_over_http(url: str) -> None:
    client = Client(url, verbose=False)
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == [
        "/analyze",
        "/allocate",
        "/predict",
        "/compare",
        "/evaluate",
    ]
    assert client.predict(*ASKED, api_name="/predict") == api.plain(api.predict(*ASKED))
    named = {"model": MODEL, "methods": ["compot"], "policy": "uniform", "removed": 0.2}
    answer = client.predict(**named, api_name="/compare")
    assert answer == api.plain(api.compare(**named))
    assert client.predict(MODEL, api_name="/analyze")["model"]["model_id"] == MODEL
    for question, arguments, sentence in BAD:
        if arguments[-1] == arguments[-1]:  # JSON has no NaN
            with pytest.raises(AppError, match=sentence):
                client.predict(*arguments, api_name=f"/{question}")


def test_a_request_that_lacks_values_names_the_field(url: str) -> None:
    """The client of Gradio would not send it."""
    for question, given, sentence in (
        ("predict", ["x"], "method: it is missing; expected are model, method, policy, removed, in this order."),
        ("analyze", [], "model: it is missing; expected are model, in this order."),
    ):
        with pytest.raises(UserError) as refused:
            fuzz.post(url, question, given)
        assert str(refused.value) == sentence


def test_what_comes_over_http_is_refused_in_one_sentence_or_answered(url: str) -> None:
    counts = fuzz.try_entry(fuzz.over_http(url), 15)
    assert not counts.failures, "\n".join(counts.failures[:5])
    assert counts.refused >= 3 and counts.accepted >= 3


def test_agents_ask_by_mcp(url: str) -> None:
    async def ask() -> None:
        async with (
            streamable_http_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert set(tools) == set(api.STEPS)
            given = tools["predict"].inputSchema
            assert list(given["properties"]) == ["model", "method", "policy", "removed"]
            assert all(each["description"] for each in given["properties"].values())
            said_of_answers = tools["predict"].description or ""
            assert "Returns: what `python -m compression schema predict` describes" in said_of_answers
            asked: dict[str, Any] = dict(zip(given["properties"], ASKED, strict=True))
            said = await session.call_tool("predict", asked)
            assert not said.isError
            assert json.loads(said.content[0].text) == api.plain(api.predict(*ASKED))  # type: ignore[union-attr]
            bad = await session.call_tool("predict", asked | {"removed": 2})
            assert bad.isError and bad.content[0].text.startswith("removed: a number from 0")  # type: ignore[union-attr]

    # In a thread of its own: beside browser tests this one has an event loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ask()).result()
