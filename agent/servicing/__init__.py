"""The verbs: install, commit and the rest; they bring engine and subsystems together."""
