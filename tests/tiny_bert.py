"""A tiny random BERT that classifies, and batches for it: no download, no data."""

from __future__ import annotations

from typing import Any


def tiny_bert(*, labels: int = 2, seed: int = 0) -> Any:
    """Return a random two-block BERT with a classification head, without dropout."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        num_labels=labels,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():  # as after some training: no zero biases, weights large enough to matter
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.normal_(0, 0.1)
            elif "LayerNorm" not in name:
                parameter.mul_(3)
    return model


def batches_of(model: Any, *, count: int = 2, size: int = 4, length: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Return random batches with padding at the end of some rows; labels are classes, or the tokens themselves."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        tokens = torch.randint(2, model.config.vocab_size, (size, length), generator=generator)
        if model.config.model_type == "bert":
            mask = torch.ones_like(tokens)
            mask[0, length // 2 :] = 0
            labels = torch.randint(model.config.num_labels, (size,), generator=generator)
            made.append({"input_ids": tokens, "attention_mask": mask, "labels": labels})
        else:
            made.append({"input_ids": tokens, "labels": tokens})
    return made
