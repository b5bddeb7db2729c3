"""What a speech model is given before it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compression.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prompt_tokens(model: PreTrainedModel, language: str) -> list[int]:
    """What the decoder is given before the text: start, language and task (if it knows several), no timestamps.

    Args:
        model: a Whisper with its generation settings.
        language: code of the language of the speech, such as ``en``.

    Raises:
        UserError: if the model does not know the language.

    Source: Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision (2022), figure 1.
    """
    settings: Any = model.generation_config
    prompt = [settings.decoder_start_token_id]
    if settings.is_multilingual:
        token = settings.lang_to_id.get(f"<|{language}|>")
        if token is None:
            raise UserError(
                f"The model does not know the language {language!r}: give the code of one of its "
                f"{len(settings.lang_to_id)} languages, such as en."
            )
        prompt += [token, settings.task_to_id["transcribe"]]
    elif language != "en":
        raise UserError(
            f"The model knows English only, but the language {language!r} was given: give en, or choose a multilingual "
            "model."
        )
    return [*prompt, settings.no_timestamps_token_id]
