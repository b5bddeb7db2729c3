"""What a speech model is given before it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compression.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prompt_tokens(model: PreTrainedModel, language: str = "en") -> tuple[int, ...]:
    """Token ids of the prompt: start, language and task where the model knows several, no timestamps.

    Args:
        model: a Whisper with its generation configuration.
        language: code of the language that is spoken, such as ``en``.

    Raises:
        UserError: if the model does not know the language.
    """
    config: Any = model.generation_config
    if not getattr(config, "is_multilingual", False):
        if language != "en":
            raise UserError(f"This model writes down English only, but the language {language!r} was given: use en.")
        return (config.decoder_start_token_id, config.no_timestamps_token_id)
    known = getattr(config, "lang_to_id", None) or {}
    token = known.get(f"<|{language}|>")
    if token is None:
        codes = ", ".join(sorted(name.strip("<|>") for name in known)[:12])
        raise UserError(
            f"The model knows no language {language!r}: give one of its {len(known)} codes, such as {codes}."
        )
    task = config.task_to_id["transcribe"]
    return (config.decoder_start_token_id, token, task, config.no_timestamps_token_id)
