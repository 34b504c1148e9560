#!/bin/sh
# Called by busybox udhcpc: configures the interface and keeps what was learnt for the live system.

quoted() {
    [ -n "$1" ] && printf '"%s"' "$1" || printf null
}

list() {
    separator=
    for item in $1; do
        printf '%s"%s"' "$separator" "$item"
        separator=', '
    done
}

case $1 in
bound | renew)
    gateway=${router%% *}
    ip addr replace "$ip/$mask" dev "$interface" || exit 1
    [ -z "$gateway" ] || ip route replace default via "$gateway" dev "$interface"
    : >/run/resolv.conf
    for server in $dns; do
        echo "nameserver $server" >>/run/resolv.conf
    done
    printf '{"interface": "%s", "mac": "%s", "address": "%s", "prefixLength": %s, "gateway": %s, "dns": [%s]}\n' \
        "$interface" "$(cat "/sys/class/net/$interface/address")" "$ip" "$mask" \
        "$(quoted "$gateway")" "$(list "$dns")" >/run/trident/netboot.json.new
    mv /run/trident/netboot.json.new /run/trident/netboot.json
    printf 'INTERFACE=%s\nADDRESS=%s\n' "$interface" "$ip" >/run/trident/netboot.env
    ;;
esac
