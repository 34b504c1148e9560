#!/bin/sh
# What a site checks before it lets a machine be installed: here, what the medium brought.
set -eu
[ "$(cat /usr/local/share/site.txt)" = "a site's own file" ]
[ "$(stat -c %a /usr/local/share/site.txt)" = 640 ]
for attempt in $(seq 60); do
    ip -4 -o address show scope global | grep -q ' 10\.77\.0\.77/' && break
    sleep 1
done
echo "the network is $(ip -4 -o address show scope global | grep -o '10\.77\.0\.77/[0-9]*')"
echo "partitions on the disk: $(lsblk -nro TYPE /dev/vda | grep -c part || true)"
