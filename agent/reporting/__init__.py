"""Reports to the outside: phonehome, logstream, tracestream, events."""
