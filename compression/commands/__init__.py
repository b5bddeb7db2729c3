"""The commands of ``python -m compression``, and what they share."""
