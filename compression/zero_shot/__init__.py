"""Zero-shot benchmarks: which continuation of a question a language model finds likeliest."""
