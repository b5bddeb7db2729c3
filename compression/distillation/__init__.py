"""A compressed model learns from its dense original, or a smaller one from a larger one of the same tokenizer."""
