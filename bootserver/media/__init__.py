"""Installation media of single machines, made of one image while they are read."""
