"""Authoritative DNS for the rack."""
