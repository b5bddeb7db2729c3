"""The page: one file a tab, one file a figure, every word in `views.texts`. No formulas live here."""
