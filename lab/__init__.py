"""`trident-lab`: virtual machines on private networks, driven by scenario files."""
