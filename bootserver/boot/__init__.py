"""What a machine is given when it boots from the network. Pure decisions."""
