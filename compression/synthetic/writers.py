"""Who writes: a model in this process, or a server that speaks OpenAI's protocol, as vLLM's does on a GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

import httpx
import torch

from compression.errors import UserError

KEY_VARIABLE = "GENERATION_API_KEY"
"""Environment variable with a server's key; it is sent and never shown."""
TIMEOUT = 120.0
PAUSES = (0.5, 2.0)
"""Seconds before a server is asked for the second and the third time."""
MAX_REPLY_BYTES = 2**22


class Writer(Protocol):
    """Answers a request in words."""

    def write(self, turns: Sequence[str], max_new_tokens: int, temperature: float, seed: int) -> str:
        """The answer to a conversation that the user begins and ends, stripped; greedy at a temperature of 0."""
        ...


def _messages(turns: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns)]


class LocalWriter:
    """``transformers.generate`` with the tokenizer's chat template, where it has one."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Take both; neither is changed."""
        self._model, self._tokenizer = model, tokenizer

    def write(self, turns: Sequence[str], max_new_tokens: int, temperature: float, seed: int) -> str:
        """Sample an answer, the same for the same seed."""
        tokenizer = self._tokenizer
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(_messages(turns), tokenize=False, add_generation_prompt=True)
        else:
            text = "\n".join(turns) + "\n"
        tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        room = getattr(self._model.config, "max_position_embeddings", None) or 2**16
        ids = tokens["input_ids"][:, -max(1, room - max_new_tokens) :]
        chosen: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            chosen = {"do_sample": True, "temperature": temperature, "top_k": 50}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            made = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=min(max_new_tokens, room - ids.shape[1]),
                pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
                **chosen,
            )
        said: str = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        return said.strip()


class ServerWriter:
    """``POST /chat/completions`` of an OpenAI-compatible server."""

    def __init__(self, address: str, model: str) -> None:
        """Remember where to ask, an address that `SyntheticSettings.check` has let pass; nothing is sent yet."""
        self._address, self._model = address.rstrip("/"), model

    def write(self, turns: Sequence[str], max_new_tokens: int, temperature: float, seed: int) -> str:
        """Ask; a server that is busy or breaks off is asked again, a few times, after growing pauses.

        Raises:
            UserError: if it cannot be reached, refuses, or does not answer as expected.
        """
        asked = {
            "model": self._model,
            "messages": _messages(turns),
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        problem = ""
        for pause in (0.0, *PAUSES):
            time.sleep(pause)
            try:
                reply = httpx.post(f"{self._address}/chat/completions", json=asked, headers=headers, timeout=TIMEOUT)
            except httpx.HTTPError as error:
                problem = type(error).__name__
                continue
            if reply.status_code >= 500 or reply.status_code == 429:
                problem = str(reply.status_code)
                continue
            return self._read(reply)
        raise UserError(
            f"The generation server {self._address} does not answer ({problem}): start it, or check the address; what "
            "was made is kept, and the same command goes on from there."
        )

    def _read(self, reply: httpx.Response) -> str:
        if reply.status_code == 200 and len(reply.content) <= MAX_REPLY_BYTES:
            try:
                said = reply.json()["choices"][0]["message"]["content"]
                if isinstance(said, str):
                    return said.strip()
            except (ValueError, KeyError, IndexError, TypeError):
                pass
        raise UserError(
            f"The generation server {self._address} gave no completion (status {reply.status_code}): an "
            f"OpenAI-compatible server with the model {self._model} was expected."
        )
