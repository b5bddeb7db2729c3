"""A whole recipe in one command: compress, distil, quantise, benchmark and time, and a search over its settings."""
