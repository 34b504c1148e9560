"""The contract: models, units, errors, events, status. Pure: no processes, sockets or databases."""
