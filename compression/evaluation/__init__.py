"""Measurements: perplexity, latency, completions."""
