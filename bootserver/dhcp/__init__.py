"""DHCPv4 (RFC 2131, 2132, 4578): pure codec, reply rules, sockets at the rim."""
