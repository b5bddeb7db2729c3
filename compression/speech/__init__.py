"""Speech: recordings, and what a speech model hears and writes of them."""
