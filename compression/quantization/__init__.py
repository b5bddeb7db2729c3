"""Fewer bits a weight: grids, GPTQ beside round-to-nearest, layers that store packed codes, and models in sequence."""
