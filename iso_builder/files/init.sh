#!/bin/sh
# First process of the servicing image: drivers by modalias; the root file system by HTTP after
# DHCP, or from the medium; verified, in memory, under an overlay; then systemd. Needs busybox,
# kmod and sha384sum.
# Whatever cannot go on says who must act and opens a shell on the console.

PATH=/bin
export PATH
# Some builds of busybox prefer their own applets: kmod's modprobe is called by its path.
root=/newroot
live=/run/live
medium=/run/trident/medium
image=$live/rootfs.squashfs
pin=/etc/trident/rootfs.sha384 # of the root file system that this initrd was built with
trusted=/etc/trident/trusted.pub # the key that signed what this initrd was shipped with, if any
attempts=6

say() {
    echo "<4>trident: $*" >/dev/kmsg
}

has_word() { # WORD: whether it stands on the kernel command line, alone or with a value
    grep -Eq "^$1(=|\$)" /run/cmdline
}

argument() { # NAME: its value on the kernel command line, the last one wins
    sed -n "s|^$1=||p" /run/cmdline | tail -n 1
}

prepare() {
    mount -t proc -o nosuid,nodev,noexec proc /proc
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
    mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
    mkdir -p /run/trident $live $root $medium
    echo on >/proc/sys/kernel/printk_devkmsg
    level=$(cut -f 1 /proc/sys/kernel/printk)
    [ "$level" -gt 4 ] || echo 5 >/proc/sys/kernel/printk
    tr ' ' '\n' </proc/cmdline >/run/cmdline
    [ ! -e $trusted ] || cp $trusted /run/trident/
}

load_drivers() { # until no driver brings new devices
    known=
    for round in 1 2 3 4 5 6 7 8; do
        found=$(find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u)
        [ "$found" != "$known" ] || return 0
        known=$found
        echo "$found" | tr '\n' '\0' | xargs -0 /bin/modprobe -abq 2>/dev/null
        usleep 200000
    done
}

interfaces() { # that of BOOTIF first, then every other Ethernet interface
    wanted=$(argument BOOTIF | tr 'A-F-' 'a-f:')
    wanted=${wanted#01:}
    first= others=
    for path in /sys/class/net/*; do
        [ "$(cat $path/type)" = 1 ] || continue
        if [ "$(cat $path/address)" = "$wanted" ]; then
            first=${path##*/}
        else
            others="$others ${path##*/}"
        fi
    done
    echo $first $others
}

has_carrier() { # INTERFACE SECONDS
    ip link set "$1" up
    for moment in $(seq $(($2 * 5))); do
        [ "$(cat /sys/class/net/$1/carrier 2>/dev/null)" = 1 ] && return 0
        usleep 200000
    done
    return 1
}

get_address() { # INTERFACE
    say "asking for an address on $1 ($(cat /sys/class/net/$1/address))"
    udhcpc -i "$1" -s /bin/dhcp-event -f -n -q -t 4 -T 3 >/dev/null 2>&1
}

fetch() { # URL: into $image; resumes what an earlier attempt left
    timeout 300 wget -q -c -O $image "$1" 2>/run/wget.log && return 0
    reason="$1 could not be fetched: $(tail -n 1 /run/wget.log)"
    action="the operator of the boot server must make it reachable from this network"
    return 1
}

is_intact() { # SHA384: removes $image when it is not
    echo "$1  $image" | /bin/sha384sum -c >/dev/null 2>&1 && return 0
    rm -f $image
    return 1
}

fetch_rootfs() { # URL SHA384
    if [ -e $trusted ] && [ "$2" != "$(cat $pin)" ]; then
        reason="trident.rootfs.sha384 names another root file system than the one this initrd trusts"
        action="the operator of the boot server must publish a matching image set"
        return 1
    fi
    fetch "$1" || return 1
    if ! is_intact "$2"; then
        reason="the root file system that was fetched is not the one named by trident.rootfs.sha384"
        action="the operator of the boot server must publish a matching image set"
        return 1
    fi
    say "fetched $(stat -c %s $image) bytes through $interface"
}

connect() { # COMMAND...: gives one interface after another an address, until COMMAND succeeds
    candidates=$(interfaces)
    patience=8
    if [ -z "$candidates" ]; then
        reason="no network interface was found"
        action="check the network adapter; its driver or firmware may be missing in this image"
        return 1
    fi
    for interface in $candidates; do
        if ! has_carrier $interface $patience; then
            say "$interface has no link"
            reason=${reason:-"no network interface has a link"}
            action=${action:-"connect the network cable or enable the switch port"}
        elif ! get_address $interface; then
            reason="no DHCP server answered on $interface"
            action="the operator of the network must offer DHCP to this machine"
        elif "$@"; then
            return 0
        fi
        rm -f /run/trident/netboot.*
        ip addr flush dev $interface
        patience=2
    done
    return 1
}

connect_patiently() { # COMMAND...: retries with growing pauses; each failure is told
    for attempt in $(seq $attempts); do
        reason= action=
        connect "$@" && return 0
        say "attempt $attempt of $attempts: $reason"
        [ $attempt = $attempts ] || sleep $((attempt * attempt))
        load_drivers
    done
    return 1
}

block_devices() { # disks, drives and their partitions
    for path in /sys/class/block/*; do
        case ${path##*/} in
        loop* | ram* | zram* | nbd* | dm-* | md* | fd*) ;;
        *) echo "/dev/$(echo ${path##*/} | tr '!' '/')" ;;
        esac
    done
}

volume_label() { # DEVICE: that of its ISO 9660 file system (ECMA-119, 8.4.7)
    dd if="$1" bs=8 skip=4101 count=4 2>/dev/null | tr -d '\0' | sed 's/ *$//'
}

mount_medium() { # LABEL
    ! grep -q " $medium " /proc/mounts || return 0
    for device in $(block_devices); do
        [ "$(volume_label $device)" = "$1" ] || continue
        mount -t iso9660 -o ro,nosuid,nodev $device $medium 2>/dev/null || continue
        say "the medium is $device"
        return 0
    done
    return 1
}

find_medium() { # LABEL: drives and USB take their time
    for moment in $(seq 30); do
        mount_medium "$1" && return 0
        sleep 1
        load_drivers
    done
    reason="there is no medium with the label $1 in this machine"
    action="put the installation medium in again (virtual media: connect it anew)"
    return 1
}

from_medium() { # LABEL
    /bin/modprobe -a isofs
    find_medium "$1" || return 1
    if ! cp $medium/trident/rootfs.squashfs $image 2>/run/copy.log; then
        reason="the medium cannot be read into memory: $(tail -n 1 /run/copy.log)"
        action="give the machine more memory, or replace the medium if it has read errors"
    elif ! is_intact "$(cat $pin)"; then
        reason="the root file system on the medium is damaged: its SHA-384 is not the one in the initrd"
        action="write the medium anew and compare it with the image"
    else
        say "read $(stat -c %s $image) bytes from the medium"
        return 0
    fi
    rm -f $image
    umount $medium
    return 1
}

get_rootfs() {
    label=$(argument trident.medium)
    url=$(argument trident.rootfs)
    if [ -n "$label" ]; then
        from_medium "$label" || return 1
        ! has_word trident.netplan || return 0
        if has_word trident.dhcp; then
            connect_patiently true
            return
        fi
        if has_word trident.server && ! connect_patiently true; then
            say "no network ($reason): what is on the medium may do without"
        fi
        return 0
    fi
    case $url in
    http://*) connect_patiently fetch_rootfs "$url" "$(argument trident.rootfs.sha384)" ;;
    *)
        reason="the kernel command line names no root file system (trident.rootfs=http://...)"
        action="correct the boot configuration of this machine"
        return 1
        ;;
    esac
}

mount_rootfs() {
    /bin/modprobe -a loop squashfs overlay
    mkdir -p $live/image $live/changes
    mount -t squashfs -o ro,loop $image $live/image &&
        mount -t tmpfs -o mode=0755 tmpfs $live/changes &&
        mkdir $live/changes/upper $live/changes/work &&
        mount -t overlay -o "lowerdir=$live/image,upperdir=$live/changes/upper,workdir=$live/changes/work" \
            overlay $root && return 0
    reason="the root file system could not be mounted"
    action="the image set must be rebuilt"
    return 1
}

open_shell() {
    say "STOPPED: $reason"
    say "To do: $action"
    say "A shell is open on the console; 'exit' tries again, 'reboot -f' restarts."
    setsid cttyhack sh
}

prepare
say "servicing image $(uname -r), loading drivers"
load_drivers
until get_rootfs && mount_rootfs; do
    open_shell
done
if [ -s /run/resolv.conf ]; then
    cp /run/resolv.conf $root/etc/resolv.conf
fi
for place in proc sys dev run; do
    mount --move /$place $root/$place
done
exec switch_root $root /lib/systemd/systemd
