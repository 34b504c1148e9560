"""`trident-installer`: runs in the live servicing image; the agent does the work."""
