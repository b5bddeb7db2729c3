"""One file a figure: ``view(info, …, words) -> View`` lays out an Info object, and computes nothing."""
