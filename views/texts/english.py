"""The English texts: every sentence a visitor can read, under a key that says where it stands."""

from __future__ import annotations

from collections.abc import Mapping

ENGLISH: Mapping[str, str] = {
    # page
    "page.title": "Compression Cost Explorer",
    "page.tagline": (
        "What does compressing a transformer cost? Move the slider, read the size, the error and the perplexity."
    ),
    "page.theme": "Light / dark",
    "page.generic_error": "Something went wrong on the server; it was logged, and the page still works.",
    "page.model_line": "**Model:** {title}",
    "page.model_line_note": "**Model:** {title} — {note}",
    "page.empty": "Nothing to show yet. Press “{button}” to analyse a model on this machine.",
    # words shared by several places
    "word.dense": "dense",
    "word.compressed": "compressed",
    "word.site": "Site",
    "word.block": "Block",
    "word.projection": "Projection",
    "word.method": "Method",
    "word.policy": "Policy",
    "word.rank": "Rank",
    "word.atoms": "Atoms",
    "word.nonzeros": "Nonzeros a column",
    "word.removed": "Removed",
    "word.shape": "Shape (out × in)",
    "table.open": "Table and CSV",
    "table.download": "Download CSV",
    "chart.loading": "Drawing…",
    "chart.empty": "No measurement yet",
    "method.dense": "dense",
    "method.svd": "SVD",
    "method.svd-llm": "SVD-LLM",
    "method.compot": "COMPOT",
    "method.compot-fisher": "Fisher-weighted COMPOT",
    "method.svd-fisher": "Fisher-weighted SVD",
    "method.svd-llm-v2": "SVD-LLM\u00a0v2",
    "method.fwsvd": "FWSVD",
    "method.asvd": "ASVD",
    "method.cospadi": "CoSpaDi",
    "method.rocket": "ROCKET",
    "method.dobi-svd": "Dobi-SVD",
    "method.finegates": "FineGates",
    "method.finegates-published": "FineGates as published",
    "method.finegates-fisher": "FineGates without training",
    "method.magnitude-structured": "Magnitude, structured",
    "method.wanda-structured": "Wanda, structured",
    "method.lora": "LoRA",
    "method.lora-xs": "LoRA-XS",
    "method.vera": "VeRA",
    "method.velora": "VeLoRA",
    "method.bitfit": "BitFit",
    "method.rocoft": "RoCoFT",
    "method.apt": "APT",
    "method.maskllm": "MaskLLM",
    "method.magnitude-2:4": "Magnitude 2:4",
    "method.wanda-2:4": "Wanda 2:4",
    "method.full": "full fine-tuning",
    "method.head": "head alone",
    "policy.uniform": "uniform",
    "policy.pooled": "pooled",
    "policy.fisher": "Fisher",
    "policy.own": "each method's own policy",
    "policy_choice.uniform": "uniform",
    "policy_choice.pooled": "pooled",
    "policy.svd-llm-v2": "v2's rule",
    "policy.knapsack": "knapsack",
    "policy.sensitivity": "sensitivity",
    "policy.learned": "learned",
    "policy.gates": "gates",
    "policy_choice.svd-llm-v2": "SVD-LLM v2's rule: by truncation loss within each type",
    "policy_choice.knapsack": "knapsack: least sum of output errors",
    "policy_choice.sensitivity": "sensitivity search: each site measured alone (minutes)",
    "policy_choice.learned": "learned positions: Dobi-SVD only (minutes)",
    "policy_choice.gates": "the method's own gates: FineGates only (minutes)",
    "policy_choice.own": "each method's own",
    "representation.dense": "dense",
    "representation.low-rank": "low rank",
    "representation.low-rank, 8 and 16 bits": "low rank, in 8 and 16 bits",
    "representation.dictionary": "dictionary",
    "representation.2:4": "two of every four weights",
    # durations and progress
    "time.instant": "answers at once, from the cache",
    "time.seconds": "about {value} s",
    "time.minutes": "about {value} min",
    "cost.line": "Cost on this machine: {cost}.",
    "cost.unknown": "Cost on this machine: not known yet.",
    "status.title": "Status",
    "status.about": "Figures of this server now; they follow by themselves.",
    "status.figure": "Figure",
    "status.value": "Value",
    "status.memory": "Memory of the app, MB",
    "status.free": "Free memory of the machine, MB",
    "status.machine": "Memory of the machine, MB",
    "status.line": "Visitors in the line before the engine, the one who is served included",
    "status.budget": "Budget for models in memory, MB (0: the engine has not started)",
    "status.model": "In memory: {model}, {method}, MB",
    "status.folder": "Cache on disk: {folder}, MB",
    "progress.waiting": "Waiting for the engine…",
    "progress.place": "Waiting: {ahead} ahead of you.",
    "progress.place_time": "Waiting: {ahead} ahead of you ({time}).",
    "progress.left": "{message} · {left} left for this step",
    "progress.cancelling": "Being cancelled: the running step is coming to its end…",
    "progress.cancelled": "Cancelled. Nothing was changed.",
    "button.cancel": "Cancel",
    # Explore
    "explore.tab": "Explore",
    "explore.ratio": "Compression ratio (share of weights removed)",
    "explore.policy": "Allocation policy",
    "explore.site": "Site (or click a cell of the heatmap)",
    "explore.load": "Load and analyse",
    "explore.loaded": "{title} is loaded: {sites} sites, {parameters} million parameters.",
    # cards
    "card.none": "—",
    # forecast; {removed}, {perplexity}, {low} and {high} are filled in by the browser
    "forecast.title": "Forecast: the perplexity you would measure",
    "forecast.setting": "{method} · {policy}",
    "forecast.sentence": (
        "At {removed} removed, {method} with policy {policy}: predicted perplexity {perplexity} "
        "({low} to {high}), dense {dense}."
    ),
    "forecast.note": (
        "Perplexity on the part of {text} kept apart from calibration ({convention}); in brackets the 95% band."
    ),
    "forecast.note_measured": "Perplexity on the part of {text} kept apart from calibration ({convention}).",
    "forecast.beyond": (
        "The forecast for {method} with policy {policy} reaches to {largest} removed; at {removed} there is none."
    ),
    "forecast.problem": (
        "No forecast for {method} with policy {policy}: {problem}. The chart shows the measured points; dense {dense}."
    ),
    "forecast.none": (
        "No forecast for {model} yet. To make one, run “python -m compression predict {model}” on this machine, then "
        "press “{button}”."
    ),
    "forecast.x": "weights removed (share)",
    "forecast.y": "perplexity (log axis)",
    "forecast.band": "95% band",
    "forecast.measured": "{setting} (measured)",
    "forecast.dense": "dense {value}",
    "forecast.hover": "<b>{setting}</b><br>%{{x:.0%}} removed<br>predicted perplexity %{{y:,.4~g}}",
    "forecast.hover_measured": "<b>{setting}</b><br>%{{x:.0%}} removed<br>measured perplexity %{{y:,.4~g}}",
    "forecast.summary": (
        "At {removed} removed the lowest of {count} forecasts is {best} ({best_policy}) with perplexity {best_value}, "
        "the highest {worst} ({worst_policy}) with {worst_value}."
    ),
    "forecast.summary_one": "At {removed} removed the forecast for {best} ({best_policy}) is perplexity {best_value}.",
    "forecast.summary_none": "None of the settings here has a forecast: the chart shows what was measured.",
    "forecast.summary_problem": "No forecast, only measured points: {settings}.",
    "forecast.summary_far": "Far above the axis, and drawn when chosen: {settings}.",
    "forecast.column.kind": "Kind",
    "forecast.column.perplexity": "Perplexity",
    "forecast.column.low": "Band, low",
    "forecast.column.high": "Band, high",
    "forecast.column.remark": "Remark",
    "forecast.kind_predicted": "predicted",
    "forecast.kind_measured": "measured",
    "forecast.kind_problem": "no forecast",
    # heatmap
    "heatmap.title": "Where the budget is taken from",
    "heatmap.x": "block (index)",
    "heatmap.y": "projection",
    "heatmap.scale": "share of weights removed",
    "heatmap.hover": (
        "<b>block {block} · {projection}</b><br>{shape} weights<br>removed {removed}<br>"
        "rank {rank}, or {atoms} atoms with {nonzeros} nonzeros a column"
    ),
    "heatmap.hover_dense": "<b>block {block} · {projection}</b><br>{shape} weights<br>stays dense",
    "heatmap.chosen": "chosen site",
    "heatmap.summary": (
        "The {policy} policy removes between {least} and {most} of a site, most from {site}; "
        "{dense} of {count} sites stay dense."
    ),
    "heatmap.summary_even": "The {policy} policy removes {most} of each of the {count} sites.",
    # spectrum
    "spectrum.title": "The chosen site: {site}",
    "spectrum.title_any": "Spectrum of the chosen site",
    "spectrum.x": "singular value (index i)",
    "spectrum.y": "σᵢ ÷ σ₁ (no unit)",
    "spectrum.y_lost": "energy lost after i (share)",
    "spectrum.plain": "plain weight",
    "spectrum.whitened": "whitened by the inputs",
    "spectrum.rank": "rank {rank}",
    "spectrum.break_even": "break-even {rank}",
    "spectrum.column.index": "Index",
    "spectrum.column.plain": "Plain σᵢ/σ₁",
    "spectrum.column.whitened": "Whitened σᵢ/σ₁",
    "spectrum.column.plain_lost": "Plain energy lost",
    "spectrum.column.whitened_lost": "Whitened energy lost",
    # budget
    "budget.title": "What is kept, what goes",
    "budget.x": "size (MiB, 16 bits a value)",
    "budget.kept": "kept",
    "budget.removed": "removed",
    "budget.rest": "always dense",
    "budget.summary": (
        "Removing {removed} of the compressible weights takes the whole model from {original_mib} to {stored_mib} MiB "
        "({whole} less), because embeddings, norms and biases stay dense."
    ),
    "budget.column.part": "Part of the model",
    "budget.column.kept": "Kept (MiB)",
    "budget.column.removed": "Removed (MiB)",
    # Compare
    "compare.tab": "Compare",
    "compare.budget": "Budget (share of weights removed)",
    "compare.budget_live": "{removed}, {policy} (measured live)",
    "compare.budget_unfinished": "{removed}, {policy} (live, not all methods measured)",
    "compare.intro": "Any methods at one budget and one calibration text, on {model}. {text}.",
    "compare.runs": "Runs at this budget",
    "compare.live_title": "Measure on this machine",
    "compare.live_ratio": "Share removed for the live runs",
    "compare.live_policy": "Policy for the live runs",
    "compare.live_methods": "Methods for the live runs",
    "compare.live_seeds": "Calibration seeds a setting",
    "compare.no_method": "Choose at least one method to measure.",
    "compare.shown_methods": "Methods shown",
    "compare.none_shown": "No method is chosen: choose at least one under “{label}”.",
    "compare.measures": (
        "KL(dense ‖ compressed), in nats, compares the two models' distributions over the next token at every scored "
        "token; same top-1 is the share of scored tokens at which both prefer the same next token."
    ),
    "compare.side_by_side": "Side by side: what each run stores, and what that costs each site",
    "compare.side_by_side_hint": (
        "Each run is shown in the terms of what it stores; every colour scale runs from 0 to 1, and blank cells stay "
        "dense."
    ),
    "compare.run_heading": "**{run}**  \nperplexity {value}",
    "compare.button": "Compare",
    "compare.run": "Runs side by side (at most {most})",
    "compare.site": "Site of the storage picture",
    "compare.pattern_button": "Compute this site",
    "compare.pattern_missing": "{site} has no precomputed picture; “{button}” makes one.",
    "compare.pattern_no_site": "Choose a site first: the list fills when a model has been analysed on the Explore tab.",
    "compare.none": "No comparison has been measured for this model yet; press “{button}”.",
    "compare.finished": "All chosen methods are measured.",
    "runs.column.removed": "Removed (actual)",
    "runs.column.whole": "Of whole model",
    "runs.column.stored": "Stored bits",
    "runs.column.perplexity": "Perplexity",
    "runs.column.stderr": "± standard error",
    "runs.column.seconds": "Compress (s)",
    "runs.column.tokens": "Scored tokens",
    "runs.column.seeds": "Calibration seeds",
    "runs.column.seeds_low": "Over seeds, low",
    "runs.column.seeds_high": "Over seeds, high",
    "runs.column.mean_kl": "Mean KL (nats)",
    "runs.column.p99_kl": "99th percentile KL (nats)",
    "runs.column.top1": "Same top-1",
    "runs.column.predicted": "Predicted",
    "runs.column.low": "Band, low",
    "runs.column.high": "Band, high",
    "runs.column.remark": "Remark",
    "runs.no_forecast": "no forecast: {problem}",
    "runs.remarks": "{first}; {second}",
    "quality.title": "Perplexity at this budget",
    "quality.x": "perplexity (log axis)",
    "quality.lesson": "terrible: the lesson",
    "quality.hover": "<b>{run}</b><br>perplexity {value} ± {spread}<br>removed {removed}",
    "quality.hover_predicted": "<b>{run}</b><br>predicted perplexity {value}<br>95% band {low} to {high}",
    "quality.hover_seeds": "<b>{run}</b><br>perplexity {low} to {high}<br>over {count} calibration seeds",
    "quality.legend_seeds": "calibration seeds (a tick each)",
    "quality.legend_measured": "measured (± standard error)",
    "quality.legend_predicted": "predicted (95% band)",
    "quality.summary": (
        "At {removed} removed, {best} ({best_policy}) is best at perplexity {best_value} against {dense} dense; "
        "{worst} ({worst_policy}) is worst at {worst_value}."
    ),
    "quality.summary_one": "{best} ({best_policy}) measures perplexity {best_value} against {dense} dense.",
    "native.label": "What {method} stores, site by site",
    "native.scale.low-rank": "rank ÷ min(out, in)",
    "native.scale.low-rank, 8 and 16 bits": "rank ÷ min(out, in)",
    "native.scale.dictionary": "atoms ÷ min(out, in)",
    "native.scale.2:4": "kept weights",
    "native.hover": "<b>block {block} · {projection}</b><br>{shape} weights",
    "native.hover_low-rank": "rank {rank} of {full}",
    "native.hover_dictionary": "{atoms} atoms of at most {full}<br>{nonzeros} nonzeros a column",
    "native.hover_removed": "removed {removed}",
    "native.summary.low-rank": (
        "Two factors a site, of a rank from {least} to {most} of the weight's smaller side; {dense} of {count} sites "
        "stay dense."
    ),
    "native.summary.dictionary": (
        "A dictionary a site, its atoms from {least} to {most} of the weight's smaller side; each output uses "
        "{thinnest} to {densest} of them; {dense} of {count} sites stay dense."
    ),
    "native.summary_none": "Every site stays {form}.",
    "native.summary_other": "Stored as {form}.",
    "native.column.stored": "Stored as",
    "native.column.share": "Rank or atoms ÷ min(out, in)",
    "native.column.density": "Nonzeros ÷ atoms",
    "errors.title": "Relative output error, site by site",
    "errors.scale": "relative output error",
    "errors.hover": "<b>block {block} · {projection}</b><br>relative output error {error}<br>removed {removed}",
    "errors.hover_dense": "<b>block {block} · {projection}</b><br>stays dense",
    "errors.summary": (
        "{method} ({policy}): the largest relative output error is {most} at {site}, the smallest {least}."
    ),
    "errors.summary_none": "{method} ({policy}) has no measured output errors.",
    "errors.column.error": "Relative output error",
    "pattern.title": "Rank versus sparsity: how one weight is stored",
    "pattern.factors": "The low rank, to scale",
    "pattern.factor_in": "input factor",
    "pattern.factor_out": "output factor",
    "pattern.factor_weight": "weight, not stored",
    "pattern.factor_label": "{part}<br>{rows} × {columns}",
    "pattern.factors_summary": (
        "The low rank stores two dense factors, {inputs} × {rank} and {rank} × {outputs}: {share} of the weight's "
        "bytes. Every one of the {outputs} outputs is a mixture of all {rank} shared directions."
    ),
    "pattern.column.part": "Part",
    "pattern.column.rows": "Rows",
    "pattern.column.columns": "Columns",
    "pattern.mask_stored": (
        "The dictionary stores {inputs} × {atoms} atoms, {nonzeros} coefficients for each of the {outputs} outputs, "
        "and a mask of one bit for each atom and output: {share} of the weight's bytes."
    ),
    "pattern.mask": "Where the dictionary's nonzeros are",
    "pattern.mask_x": "output (block of columns)",
    "pattern.mask_y": "atom (block)",
    "pattern.mask_scale": "share of nonzeros",
    "pattern.mask_summary": (
        "With {removed} removed, {site} at rank {rank} has a relative output error of {low_rank}; as a dictionary of "
        "{atoms} atoms with {nonzeros} nonzeros a column it has {dictionary}."
    ),
    "pattern.use": "How often atoms are used",
    "pattern.use_x": "atom (sorted by use)",
    "pattern.use_y": "share of outputs using it",
    "pattern.use_dictionary": "dictionary, {count} atoms",
    "pattern.use_low_rank": "low rank, {count} directions",
    "pattern.use_summary": (
        "The busiest of {atoms} atoms serves {most} of the outputs, the rarest {least}; "
        "a low-rank factor would serve all."
    ),
    "pattern.convergence": "COMPOT converges",
    "pattern.convergence_x": "alternation (count)",
    "pattern.convergence_y": "squared error, whitened (share)",
    "pattern.convergence_summary": "{count} alternations take the squared error from {first} to {last}.",
    "pattern.convergence_none": "This run recorded no convergence.",
    "column.title": "One column, seen by both",
    "column.x": "terms used (count)",
    "column.y": "captured energy (share)",
    "column.low_rank": "low rank (SVD-LLM)",
    "column.dictionary": "dictionary (COMPOT)",
    "column.others": "the {count} atoms left out",
    "column.table_others": "with more atoms",
    "column.end_low_rank": "r = {count}: {captured}",
    "column.end_dictionary": "s = {count}: {captured}",
    "column.hover": "%{x} terms: %{customdata:.2%}",
    "column.ahead": (
        "**Why is COMPOT ahead here?** Output {index} of {site} is a typical column (its gain is the median): {rank} "
        "shared directions capture {low_rank} of its energy, while the same bytes hold {atoms} atoms that could "
        "capture {all_atoms}, and using only the best {nonzeros} for it costs {cost}, which leaves {dictionary}."
    ),
    "column.behind": (
        "**COMPOT is not ahead here.** Output {index} of {site} is a typical column (its gain is the median): {rank} "
        "shared directions capture {low_rank} of its energy, while the same bytes hold {atoms} atoms that could "
        "capture {all_atoms}, but using only the best {nonzeros} for it costs {cost}, which leaves {dictionary}."
    ),
    "column.none": "No column has been computed for this site; “{button}” does it.",
    "columns.title": "All columns",
    "columns.x": "columns (count)",
    "columns.lost_from": "lost energy, from",
    "columns.lost_to": "lost energy, to",
    "columns.summary": (
        "The dictionary captures more in {ahead} of the {columns} columns; the median column keeps {dictionary} of its "
        "energy as a dictionary and {low_rank} at low rank."
    ),
    # Test live
    "live.tab": "Test live",
    "live.text": "Your text",
    "live.text_info": (
        "The more text, the narrower the interval. The sample is from Darwin, On the Origin of Species (1859)."
    ),
    "live.method": "Method",
    "live.policy": "Policy",
    "live.ratio": "Share removed",
    "live.prompt": "Prompt",
    "live.prompt_value": "The history of the steam engine begins with",
    "live.perplexity_title": "Perplexity on your text",
    "live.perplexity": "Measure perplexity",
    "live.generate_title": "Completions side by side",
    "live.generate": "Generate",
    "live.latency_title": "Latency",
    "live.latency": "Measure latency",
    "live.perplexity_x": "scored tokens (count)",
    "live.perplexity_y": "perplexity (log axis)",
    "live.perplexity_hint": "Press “{button}”: the dense model first, then the compressed one, window by window.",
    "live.perplexity_running": "Dense {dense}; compressed {compressed}.",
    "live.perplexity_value": "{value} ({low} to {high})",
    "live.perplexity_pending": "still to come",
    "live.perplexity_summary": (
        "On your text the dense model has perplexity {dense} and the compressed one {compressed}, "
        "over {tokens} scored tokens ({convention})."
    ),
    "live.cached_both": "Both answers came from the cache.",
    "live.cached_dense": "The dense answer came from the cache.",
    "live.cached_compressed": "The compressed answer came from the cache.",
    "live.column.model": "Model",
    "live.column.tokens": "Scored tokens",
    "live.column.perplexity": "Perplexity",
    "live.column.low": "Interval, low",
    "live.column.high": "Interval, high",
    "live.generate_empty": "Its completion appears here.",
    "live.generate_nothing": "The model ends here: it adds nothing.",
    "live.generate_same": "Both completions are the same, token by token.",
    "live.generate_differ": (
        "The completions part at token {position}; {shared} of all tokens have a counterpart on the other side, and "
        "those that have none are marked."
    ),
    "live.generate_differ_so_far": "So far the completions part at token {position}; what differs is marked.",
    "live.generate_hint": "Press “{button}” to let both models continue the prompt.",
    "live.latency_hint": "Press “{button}”: both models take turns, so that both meet the same machine.",
    "live.latency_x_prefill": "prefill of {tokens} tokens (ms)",
    "live.latency_x_decode": "decode (ms a token)",
    "live.latency_column.phase": "Phase",
    "live.latency_column.median": "Median (ms)",
    "live.latency_column.iqr": "Interquartile range (ms)",
    "live.latency_column.repeats": "Repeats",
    "live.latency_prefill": "prefill",
    "live.latency_decode": "decode, a token",
    "live.latency_column.predicted": "Predicted, roofline (ms)",
    "live.latency_column.ratio": "Measured ÷ predicted",
    "live.latency_legend_measured": "measured",
    "live.latency_legend_predicted": "predicted (roofline)",
    "live.latency_hover_predicted": "{model}, predicted",
    "live.latency_slower": "Smaller, but not faster here",
    "live.latency_faster": "Smaller, and faster here",
    "live.latency_faster_prefill": "Smaller, and faster here in prefill, but not in decode",
    "live.latency_faster_decode": "Smaller, and faster here in decode, but not in prefill",
    "live.latency_not_smaller": "Not smaller at this setting",
    "live.latency_summary": (
        "{verdict}: decoding takes {decode} ms a token against {decode_dense} ms dense, a prefill of {tokens} tokens "
        "{prefill} ms against {prefill_dense} ms (threads: {threads}, {device})."
    ),
    "live.latency_roofline": (
        "With the {gflops} GFLOP/s and {bandwidth} GB/s measured here, the linear layers alone would take {decode} ms "
        "a token ({decode_dense} dense) and {prefill} ms a prefill ({prefill_dense} dense). Decoding takes "
        "{decode_ratio} times as long as that ({decode_dense_ratio} dense), a prefill {prefill_ratio} times "
        "({prefill_dense_ratio} dense)."
    ),
    "live.latency_rest": "The rest goes to attention, norms, activations and the overhead of many small calls.",
    "live.latency_below": "Faster than predicted means that weights came from a cache that is faster than the memory.",
    "live.latency_execution": "How the layers compute: {execution}.",
    "live.recipe": "{method}, {policy}, {removed} removed",
    "live.sample": (
        "When on board H.M.S. Beagle, as naturalist, I was much struck with certain facts in the distribution of the "
        "inhabitants of South America, and in the geological relations of the present to the past inhabitants of that "
        "continent. These facts seemed to me to throw some light on the origin of species—that mystery of mysteries, "
        "as it has been called by one of our greatest philosophers. On my return home, it occurred to me, in 1837, "
        "that something might perhaps be made out on this question by patiently accumulating and reflecting on all "
        "sorts of facts which could possibly have any bearing on it. After five years' work I allowed myself to "
        "speculate on the subject, and drew up some short notes; these I enlarged in 1844 into a sketch of the "
        "conclusions, which then seemed to me probable: from that period to the present day I have steadily pursued "
        "the same object. I hope that I may be excused for entering on these personal details, as I give them to show "
        "that I have not been hasty in coming to a decision.\n\n"
        "My work is now nearly finished; but as it will take me two or three more years to complete it, and as my "
        "health is far from strong, I have been urged to publish this Abstract. I have more especially been induced "
        "to do this, as Mr. Wallace, who is now studying the natural history of the Malay archipelago, has arrived at "
        "almost exactly the same general conclusions that I have on the origin of species. Last year he sent to me a "
        "memoir on this subject, with a request that I would forward it to Sir Charles Lyell, who sent it to the "
        "Linnean Society, and it is published in the third volume of the Journal of that Society.\n\n"
        "This Abstract, which I now publish, must necessarily be imperfect. I cannot here give references and "
        "authorities for my several statements; and I must trust to the reader reposing some confidence in my "
        "accuracy. No doubt errors will have crept in, though I hope I have always been cautious in trusting to good "
        "authorities alone. I can here give only the general conclusions at which I have arrived, with a few facts in "
        "illustration, but which, I hope, in most cases will suffice. No one can feel more sensible than I do of the "
        "necessity of hereafter publishing in detail all the facts, with references, on which my conclusions have "
        "been grounded; and I hope in a future work to do this. For I am well aware that scarcely a single point is "
        "discussed in this volume on which facts cannot be adduced, often apparently leading to conclusions directly "
        "opposite to those at which I have arrived. A fair result can be obtained only by fully stating and balancing "
        "the facts and arguments on both sides of each question; and this cannot possibly be here done."
    ),
    # what the page fills in itself
    "page.language": "Language",
    "explore.method": "Method",
    "explore.method_info": "Whose forecast or measurement is shown.",
    "explore.unit": "What does the ratio mean?",
    "explore.impossible": (
        "With these pins the ratio can lie between {smallest} and {largest}; {removed} cannot be met: "
        "move the slider or take back a pin."
    ),
    "unit.weights": "weights",
    "unit.bits": "bits",
    "unit.bytes": "bytes on disk",
    "unit.factor": "factor",
    "unit.whole": "whole model",
    "unit.flops": "FLOPs",
    "unit.weights_sentence": (
        "{removed} of the compressible weights go: {removed_weights} of {site_weights}. Embeddings, "
        "norms and biases stay."
    ),
    "unit.bits_sentence": (
        "The whole model is stored in {stored_bits} bits instead of {original_bits}, 16 for each value."
    ),
    "unit.bytes_sentence": "On disk the whole model takes {stored_mib} MiB instead of {original_mib} MiB.",
    "unit.factor_sentence": "The whole model becomes smaller by the factor {factor}.",
    "unit.whole_sentence": "Of the whole model, embeddings included, {whole} goes.",
    "unit.flops_sentence": (
        "For each token the compressible layers need {low_rank_flops} FLOPs as low-rank layers, "
        "{dictionary_flops} as dictionaries with their zeros skipped, {dense_flops} dense."
    ),
    "card.removed": "Weights removed",
    "card.removed_value": "{removed}",
    "card.removed_detail": "{whole} of the whole model",
    "card.size": "Whole model",
    "card.size_value": "{original_mib} → {stored_mib} MiB",
    "card.size_detail": "planned, 16 bits a stored value",
    "card.bits": "Stored bits",
    "card.bits_value": "{stored_bits}",
    "card.bits_detail": "of the whole model",
    "card.factor": "Compression factor",
    "card.factor_value": "{factor} ×",
    "card.factor_detail": "whole model, before ÷ after",
    "card.flops": "FLOPs a token, low rank",
    "card.flops_value": "{low_rank_flops}",
    "card.flops_detail": "dense {dense_flops}, compressible layers",
    "card.perplexity_predicted": "Predicted perplexity",
    "card.perplexity_predicted_value": "{perplexity}",
    "card.perplexity_predicted_detail": "{low} to {high} · dense {dense_perplexity}",
    "card.perplexity_measured": "Measured perplexity",
    "card.perplexity_measured_value": "{quality}",
    "card.perplexity_measured_detail": "at {at} removed · dense {dense_quality}",
    "card.perplexity_none": "Perplexity",
    "card.perplexity_none_value": "—",
    "card.perplexity_none_detail": "neither forecast nor measurement",
    "measured.sentence": (
        "No forecast for {method} with policy {policy}. Measured at {at} removed: perplexity "
        "{quality}, dense {dense_quality}."
    ),
    "measured.none": (
        "Neither a forecast nor a measurement for {method} with policy {policy}: measure it on the Compare tab."
    ),
    "difference.same": "This is the uniform policy: there is no difference.",
    "difference.none": ("{method} was not measured under both policies, so the gain over uniform is not known."),
    "difference.measured": (
        "Measured at {at} removed with {method}: perplexity {quality} under policy {policy}, {uniform} under uniform."
    ),
    "heatmap.show": "Show",
    "heatmap.scale_difference": "difference from uniform",
    "heatmap.keyboard": "heatmap; arrow keys move between sites, Enter opens one",
    "heatmap.pinned": "pinned",
    "heatmap.hover_uniform": "uniform: {removed}",
    "heatmap.hover_pinned": "pinned",
    "heatmap.cell": "Block {block}, {projection}: {removed} removed.",
    "heatmap.points": "{value} points",
    "heatmap.same": "as uniform",
    "budget.hover": "%{y}: %{x:.1f} MiB",
    "pins.title": "Pin sites and solve the rest again",
    "pins.hint": (
        "The chosen site or its whole block keeps this share; the policy splits the remaining budget over the others."
    ),
    "pins.value": "Share removed there",
    "pins.site": "Pin site",
    "pins.block": "Pin block",
    "pins.undo": "Undo",
    "pins.redo": "Redo",
    "pins.clear": "Clear",
    "pins.none": "Nothing is pinned.",
    "pins.no_site": "Choose a site first, from the list or with a click on the heatmap.",
    "pins.no_value": "Type the share to be removed there, from 0 to 0.95.",
    "address.ignored": "The link holds values that cannot be used and were left out: {names}.",
    "address.unknown_model": (
        "The link shows the model {model}, which has not been analysed here yet: press “{button}”."
    ),
    "page.footer": (
        "Compression Cost Explorer {version} · commit {commit} · Gradio {gradio} · Plotly {plotly} · "
        "PyTorch {torch} · Transformers {transformers}"
    ),
    "page.hardware": "This machine: {processor} · {threads} CPU threads",
    "page.provenance": "Example measured on {date} · commit {commit} · {processor} · {threads} threads",
    "page.papers": "Papers: {papers}",
    "page.licences": (
        "Licences: this app and SmolLM2 Apache-2.0, Whisper MIT; the speeches, Darwin's text and the LibriVox readings "
        "are in the public domain."
    ),
    "explore.ratio_info": "0.2 removes a fifth of the weights of the compressible layers.",
    "explore.policy_info": "Uniform: all alike. Pooled: easy layers give more. Fisher: what the loss minds least.",
    "explore.model_info": "Model: a catalogue id, a Hub id, or a local directory",
    "policy_choice.fisher": "Fisher",
    "explore.storage": "The chosen site as a sparse dictionary",
    "page.warning": "Please note",
    "builtin.reset": "Reset to default value",
    "builtin.number": "number input for",
    "builtin.range": "range slider for",
    "builtin.clear": "Clear",
    "builtin.remove": "Remove",
    "spectrum.summary": (
        "At {removed} removed, {site} keeps rank {rank} of {full} (effective rank {effective}) and loses "
        "{lost} of its output energy; above rank {break_even} two factors are larger than the weight "
        "itself."
    ),
    "spectrum.summary_dense": (
        "{site} stays dense here (effective rank {effective}); two factors would save storage only up to "
        "rank {break_even} of {full}."
    ),
    "compare.live_methods_info": (
        "Those not ticked take minutes each on two cores. What they measured before is in the table "
        "below at 20% removed."
    ),
    # of a speech model, instead of the texts without the ending
    "forecast.title@speech": "Forecast: the perplexity of the transcript",
    "forecast.sentence@speech": (
        "At {removed} removed, {method} with policy {policy}: predicted perplexity of the transcript {perplexity} "
        "({low} to {high}), dense {dense}."
    ),
    "forecast.note@speech": (
        "How well the words are foreseen, given the speech and the right words so far (teacher forcing), on the part "
        "of {text} kept apart from calibration ({convention}); in brackets the 95% band. It is not a word error rate."
    ),
    "forecast.note_measured@speech": (
        "Perplexity of the transcript under teacher forcing, on the part of {text} kept apart from calibration "
        "({convention}). It is not a word error rate."
    ),
    "forecast.y@speech": "perplexity of the transcript (log axis)",
    "forecast.hover@speech": (
        "<b>{setting}</b><br>%{{x:.0%}} removed<br>predicted perplexity of the transcript %{{y:,.4~g}}"
    ),
    "forecast.hover_measured@speech": (
        "<b>{setting}</b><br>%{{x:.0%}} removed<br>measured perplexity of the transcript %{{y:,.4~g}}"
    ),
    "forecast.summary@speech": (
        "At {removed} removed the lowest of {count} forecasts is {best} ({best_policy}) with perplexity {best_value} "
        "of the transcript under teacher forcing, the highest {worst} ({worst_policy}) with {worst_value}."
    ),
    "forecast.summary_one@speech": (
        "At {removed} removed the forecast for {best} ({best_policy}) is perplexity {best_value} of the transcript "
        "under teacher forcing."
    ),
    "forecast.column.perplexity@speech": "Perplexity of the transcript",
    "heatmap.x@speech": "block (index in its stack)",
    "card.perplexity_predicted@speech": "Predicted perplexity of the transcript",
    "card.perplexity_measured@speech": "Measured word error rate",
    "card.perplexity_none@speech": "Word error rate",
    "card.perplexity_none_detail@speech": "not measured, and nothing forecast",
    "card.flops@speech": "FLOPs a position, low rank",
    "unit.flops_sentence@speech": (
        "For one position each (a piece of sound in the encoder, a token in the decoder) the compressible layers need "
        "{low_rank_flops} FLOPs as low-rank layers, {dictionary_flops} as dictionaries with their zeros skipped, "
        "{dense_flops} dense."
    ),
    "measured.sentence@speech": (
        "No forecast for {method} with policy {policy}. Measured at {at} removed: word error rate {quality}, dense "
        "{dense_quality}."
    ),
    "measured.beside": "Measured at {at} removed: word error rate {quality}, dense {dense_quality}.",
    "difference.measured@speech": (
        "Measured at {at} removed with {method}: word error rate {quality} under policy {policy}, "
        "{uniform} under uniform."
    ),
    "compare.intro@speech": (
        "Any methods at one budget and one set of calibration recordings, on {model}. Judged on {text}."
    ),
    "compare.measures@speech": (
        "Word error rate: words substituted, left out or added, as a share of the words that were said, after the "
        "normaliser; raw without it; character error rate likewise, letter by letter. Real-time factor: time spent on "
        "a second of speech, in seconds."
    ),
    "compare.live_methods_info@speech": "Those not ticked take minutes each on two cores.",
    "compare.run_heading@speech": "**{run}**  \nword error rate {value}",
    "quality.title@speech": "Word error rate at this budget",
    "quality.x@speech": "word error rate",
    "quality.hover@speech": "<b>{run}</b><br>word error rate {value}<br>{spread}<br>removed {removed}",
    "quality.interval": "95% interval {low} to {high}",
    "quality.hover_seeds@speech": "<b>{run}</b><br>word error rate {low} to {high}<br>over {count} calibration seeds",
    "quality.legend_measured@speech": "measured (95% interval)",
    "quality.summary@speech": (
        "At {removed} removed, {best} ({best_policy}) is best at {best_value} word error rate, dense {dense}; "
        "{worst} ({worst_policy}) is worst at {worst_value}."
    ),
    "quality.summary_one@speech": "{best} ({best_policy}) measures {best_value} word error rate, dense {dense}.",
    "runs.column.wer": "Word error rate",
    "runs.column.wer_low": "95% interval, low",
    "runs.column.wer_high": "95% interval, high",
    "runs.column.wer_raw": "Raw word error rate",
    "runs.column.cer": "Character error rate",
    "runs.column.substitutions": "Substitutions",
    "runs.column.deletions": "Deletions",
    "runs.column.insertions": "Insertions",
    "runs.column.real_time_factor": "Real-time factor",
    "runs.column.removed@speech": "Removed (sites)",
    "runs.column.whole@speech": "Removed (whole model)",
    # Test live, for speech models
    "speech.title": "Your recording, written down",
    "speech.audio": "Recording",
    "speech.audio_info": (
        "Upload `wav`, `flac`, `mp3` or `ogg`, or choose the microphone below the box; up to {minutes} minutes. The "
        "recording goes only to the machine that serves this page, and is deleted there after about an hour."
    ),
    "speech.example": "Example",
    "speech.example_info": (
        "Sense and Sensibility, read for LibriVox; fills in the recording and what was said. The compressed model is "
        "calibrated on just these clips: your own voice is the harder test."
    ),
    "speech.example_label": "{number}. {start}… ({seconds} s)",
    "speech.reference": "What was said (optional)",
    "speech.reference_info": "With it, the errors of both models are marked and counted.",
    "speech.transcribe": "Transcribe",
    "speech.no_audio": "There is no recording yet: record one, upload a file or choose an example.",
    "speech.no_words": (
        "What was said holds no words, only signs: type what can be heard in the recording, or leave the field empty."
    ),
    "speech.finished": "Both models have written it down.",
    "speech.empty": "Its transcript appears here.",
    "speech.nothing": "The model wrote nothing.",
    "speech.written": "As the model wrote it",
    "speech.normalised": (
        "Words are compared in one spelling, without case and punctuation, and are shown above as they are compared."
    ),
    "speech.score": (
        "Word error rate {wer} of {words} words: {substitutions} wrong, {deletions} missing, {insertions} too many"
    ),
    "speech.speed": "Real-time factor {factor}: {seconds} s for {audio} s of speech",
    "speech.summary_reference": (
        "Against what was said ({words} words), the dense model has a word error rate of {dense} (errors: "
        "{dense_errors}) and the compressed one {compressed} (errors: {compressed_errors}): {verdict}."
    ),
    "speech.verdict_worse": "compression costs {count} more here",
    "speech.verdict_better": "here the compressed model makes {count} fewer, which one recording does not prove",
    "speech.verdict_same": "compression adds no error here",
    "speech.summary_same": "Both models write the same words.",
    "speech.summary_differ": (
        "Words that differ from the dense transcript: {count}, of {words}. Who is right can only be told with what was "
        "said."
    ),
    "speech.summary_nothing": "The dense model wrote nothing, so there is nothing to compare with.",
    "speech.mark_substitute": "instead of “{word}”",
    "speech.mark_delete_reference": "missing",
    "speech.mark_insert_reference": "too many",
    "speech.mark_delete_dense": "only in the dense transcript",
    "speech.mark_insert_dense": "only in the compressed transcript",
    "speech.legend_word": "word",
    "speech.legend_other": "other",
    "speech.legend_substitute_reference": "wrong word; above it, what was said",
    "speech.legend_delete_reference": "missing: said, but not written",
    "speech.legend_insert_reference": "too many: written, but not said",
    "speech.legend_substitute_dense": "another word; above it, the dense model's",
    "speech.legend_delete_dense": "only the dense model wrote it",
    "speech.legend_insert_dense": "only the compressed model wrote it",
    "speech.column.model": "Model",
    "speech.column.wer": "Word error rate",
    "speech.column.substitutions": "Wrong words",
    "speech.column.deletions": "Missing words",
    "speech.column.insertions": "Words too many",
    "speech.column.words": "Words said",
    "speech.column.audio": "Speech (s)",
    "speech.column.seconds": "Time spent (s)",
    "speech.column.factor": "Real-time factor",
    "speech.latency_x_encoder": "encoder, a window of 30 s (ms)",
    "speech.latency_encoder": "encoder, a window of 30 s",
    "speech.latency_faster_encoder": "Smaller, and faster here in the encoder, but not in decoding",
    "speech.latency_faster_decode": "Smaller, and faster here in decoding, but not in the encoder",
    "speech.latency_summary": (
        "{verdict}: the encoder takes {encoder} ms for a window of 30 s against {encoder_dense} ms dense, decoding "
        "{decode} ms a token against {decode_dense} ms; on {audio} s of speech the real-time factor is {factor} "
        "against {factor_dense} (threads: {threads}, {device})."
    ),
    "speech.builtin_upload": "Upload file",
    "speech.builtin_record": "Record audio",
    "speech.builtin_drop": "Drop an audio file here to upload",
    "speech.builtin_device": "Select input device",
    "speech.builtin_pause": "pause",
}
