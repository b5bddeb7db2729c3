"""A grid of compressed models, measured on one machine or on a cluster, cell by cell."""
