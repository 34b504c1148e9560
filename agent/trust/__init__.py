"""Signed lists of what installation media and servicing image sets hold. Who signs, who checks."""
