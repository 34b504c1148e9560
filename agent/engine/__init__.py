"""Context, Subsystem, Plan and its execution. Knows no subsystem."""
