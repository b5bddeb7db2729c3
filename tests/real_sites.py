"""Layers of the default model with the inputs that real text gives them; only for tests that take `real_cache`."""

from __future__ import annotations

from functools import cache

import torch
from tiny import finish
from torch import Tensor

from compression import models
from compression.calibration import Calibration, InputSums, SiteStatistics
from compression.sites import find_sites, site_weight
from compression.streams import open_stream
from compression.texts import load_text


@cache
def first_block() -> dict[str, tuple[Tensor, SiteStatistics]]:
    """Projection → weight (out, in) and input statistics of 16 × 512 tokens, for the block that text reaches first."""
    loaded = finish(models.load(models.DEFAULT_MODEL))
    text = finish(load_text("sotu-calibration")).content[:60_000]
    sequences = torch.tensor(loaded.tokenizer(text).input_ids[: 16 * 512]).view(16, 512)
    sites = [site for site in find_sites(loaded.model) if site.block == 0]
    stream, sums = open_stream(loaded.model, sequences), InputSums(sites)
    finish(stream.start())
    sums.run(stream, 0)
    seen = Calibration(sums.grams, sums.positions, "", 0.0, magnitudes=sums.magnitudes)
    return {
        site.projection.rpartition(".")[2]: (site_weight(loaded.model, site), seen.statistics(site.input_group))
        for site in sites
    }
