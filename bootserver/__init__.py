"""Network boot server: DHCP/proxyDHCP, TFTP, DNS and HTTP; hosts known through the contract."""
