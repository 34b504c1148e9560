"""`trident-iso`: builds servicing images, sample OS images, COSI files and ISOs."""
