"""One module per tool of the host; the only floor that spawns processes."""
