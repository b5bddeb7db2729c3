"""Tiny encoders for tests: a random BERT and a random RoBERTa with a WordPiece tokenizer, as directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import SENTENCES

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def tiny_wordpiece() -> Any:
    """Return a WordPiece tokenizer of 120 entries at most, trained on `SENTENCES`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=list(SPECIAL.values()), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(each, tokenizer.token_to_id(each)) for each in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def encoder_config(kind: str, **changes: Any) -> Any:
    """Return the configuration of a two-block encoder, ``bert`` or ``roberta``."""
    from transformers import BertConfig, RobertaConfig

    shape = {
        "vocab_size": 120,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 66 if kind == "roberta" else 64,
        "pad_token_id": 0,
        "type_vocab_size": 1 if kind == "roberta" else 2,
    }
    return (RobertaConfig if kind == "roberta" else BertConfig)(**(shape | changes))


def write_tiny_encoder(folder: Path, kind: str = "bert", *, head: bool = False, seed: int = 0, **changes: Any) -> Any:
    """Write a random encoder, with or without a classification head, and its tokenizer; return the model."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    config = encoder_config(kind, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config).eval()
    model.save_pretrained(folder)
    tiny_wordpiece().save_pretrained(folder)
    return model
