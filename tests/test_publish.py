"""An export goes to a stand-in for the Hub and comes back; a refusal is one sentence, and the token stays secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_stand_in import StandIn
from test_pipeline import compressed
from tiny import finish

from compression import export, publish
from compression.errors import UserError
from compression.fingerprint import probe_logits
from views.texts import words

# huggingface_hub hands its files to httpx2 in a way that this deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
TOKEN = "hf_secretsecretsecret"
REPO = "visitor/tiny"


@pytest.fixture
def login(hub: StandIn, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A Hub that knows `TOKEN`; uploads go over the protocol that the stand-in speaks, without waiting to try again."""
    hub.token = TOKEN
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    yield hub


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "tiny-small"
    export.save(compressed("llama", "compot"), directory)
    return directory


def push(directory: Path, repo_id: str = REPO, token: str | None = TOKEN, **options: bool) -> str:
    return finish(publish.push(directory, repo_id, token, **options))


def refused(directory: Path, repo_id: str = REPO, token: str | None = TOKEN, **options: bool) -> str:
    """The one sentence of a refusal, which tells no secret; Russian as well."""
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(UserError) as caught:
        push(directory, repo_id, token, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and TOKEN not in repr(caught.getrepr(chain=True))
    assert words("ru").sentence(sentence) != sentence
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    return sentence


def test_what_was_pushed_comes_back_with_the_same_logits(login: StandIn, exported: Path) -> None:
    assert push(exported) == f"{login.url}/{REPO}"
    assert len(login.commits[REPO]) == 1, "one commit"
    loaded = export.from_pretrained(REPO)
    here = export.load(exported)
    assert torch.equal(probe_logits(loaded.model, loaded.source), probe_logits(here.model, here.source))
    assert loaded.report == here.report
    card = login.repositories[f"models/{REPO}"]["README.md"].decode()
    assert f'from_pretrained("{REPO}")' in card and "tiny-small" not in card
    assert "local.json" not in login.repositories[f"models/{REPO}"]
    assert f"models/{REPO}" not in login.private
    pinned = export.from_pretrained(f"{REPO}@{login.commit}")
    assert pinned.report == here.report, "a commit that is here needs no network"


def test_a_private_repository_is_made_private(login: StandIn, exported: Path) -> None:
    push(exported, "visitor/hidden", private=True)
    assert "models/visitor/hidden" in login.private


def test_an_update_is_asked_for_and_removes_what_is_stale(login: StandIn, exported: Path) -> None:
    push(exported)
    login.repositories[f"models/{REPO}"] |= {"vocab.json": b"{}", "diary.txt": b"mine"}
    assert "holds a compressed model" in refused(exported)
    push(exported, update=True)
    files = login.repositories[f"models/{REPO}"]
    assert "vocab.json" not in files and files["diary.txt"] == b"mine" and len(login.commits[REPO]) == 2


def test_nothing_of_others_is_overwritten(login: StandIn, exported: Path) -> None:
    login.repositories[f"models/{REPO}"] = {"config.json": b"{}", "model.safetensors": b"theirs"}
    for update in (False, True):
        assert "holds something else" in refused(exported, update=update)
    assert login.repositories[f"models/{REPO}"]["model.safetensors"] == b"theirs"


def test_an_interrupted_upload_commits_nothing_and_can_be_repeated(login: StandIn, exported: Path) -> None:
    steps = publish.push(exported, REPO, TOKEN)
    while next(steps).done < 3:
        pass
    steps.close()
    assert REPO not in login.commits and login.repositories[f"models/{REPO}"].keys() == {".gitattributes"}
    push(exported)
    assert len(login.commits[REPO]) == 1


@pytest.mark.parametrize(
    ("refuses", "said"),
    [
        ({"whoami": 401}, "refused the login"),
        ({"create": 403}, "does not let this login write"),
        ({"commit/main": 403}, "does not let this login write"),
        ({"commit/main": 412}, "changed by somebody else meanwhile"),
        ({"lfs/objects": 500}, "status 500"),
        ({"upload/": 403}, "does not let this login write"),
    ],
)
def test_what_the_hub_refuses_is_said(login: StandIn, exported: Path, refuses: dict[str, int], said: str) -> None:
    login.refuses = refuses
    assert said in refused(exported)
    assert REPO not in login.commits


@pytest.mark.parametrize("part", ["whoami", "upload/", "commit/main"])
def test_a_connection_that_breaks_off_is_said(login: StandIn, exported: Path, part: str) -> None:
    login.drops = {part}
    assert "broke off" in refused(exported)
    login.drops = set()
    push(exported)


def test_bad_input_is_refused_before_the_hub_is_asked(login: StandIn, exported: Path, tmp_path: Path) -> None:
    for name in ("tiny", "a/b/c", "visitor/", "visitor/ti ny", "../x/y", "visitor/a--b", "visitor/x.git", "a/b?c=1"):
        assert "owner/name" in refused(exported, name)
    assert "Nobody is logged in" in refused(exported, token=None)
    (tmp_path / "empty").mkdir()
    assert "no export.json" in refused(tmp_path / "empty")
    assert login.requests == []
    assert "refused the login" in refused(exported, token="hf_wrong")


def test_offline_is_said(login: StandIn, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from huggingface_hub.utils import close_session

    close_session()
    assert "HF_HUB_OFFLINE" in refused(exported)
    close_session()


def test_only_compressed_models_come_from_the_hub(login: StandIn, tmp_path: Path, exported: Path) -> None:
    login.repositories["models/visitor/dense"] = {"config.json": b"{}", "model.safetensors": b"x"}
    for name, said in (
        ("visitor/dense", "has no compression.json"),
        ("gpt2", "is a dense model"),
        (str(tmp_path), "has no compression.json"),
        ("no such", "There is no model"),
        ("visitor/none", "no public repository"),
    ):
        with pytest.raises(UserError, match=said):
            export.from_pretrained(name)
    push(exported)
    files = login.repositories[f"models/{REPO}"]
    files["weights.bin"] = b"pickle"
    manifest = json.loads(files["compression.json"])
    manifest["report"]["sites"][0]["quantities"] = {"num_atoms": 10**9, "nonzeros_per_column": 10**9}
    files["compression.json"] = json.dumps(manifest).encode()
    with pytest.raises(UserError, match="does not fit"):
        export.from_pretrained(REPO)
    assert login.sent("weights.bin") == []
