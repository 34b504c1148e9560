"""Rules over the contract. Pure functions; nothing here touches the host."""
