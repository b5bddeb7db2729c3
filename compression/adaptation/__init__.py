"""Adapting a model to a task or a text, and removing from it what the task does not need."""
