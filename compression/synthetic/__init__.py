"""Instruction pairs that a model writes and a judge grades: data to distil on where there is none."""
