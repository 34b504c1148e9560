"""What machines report, turned into one timeline per machine."""
