"""Adapting a model to a task or to text: methods that train part of it, and what really leaves."""
