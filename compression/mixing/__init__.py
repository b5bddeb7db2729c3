"""One byte budget, spent on removing, on fewer bits, or on both: what each layer had best take."""
