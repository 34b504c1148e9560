"""An example for each section of the Host Configuration's reference; a test reads them all."""

from __future__ import annotations

from typing import Final

_DISK: Final = """\
storage:
  disks:
  - id: os
    device: /dev/disk/by-path/pci-0000:00:04.0
    partitionTableType: gpt
"""
_USERS: Final = "os:\n  users:\n  - name: operator\n"
_SHA: Final = "0123456789abcdef" * 6

EXAMPLES: Final[dict[str, str]] = {
    "HostConfiguration": f"""\
image:
  url: http://10.77.0.1:8080/files/os.cosi
  sha384: ignored
{_DISK}\
    partitions:
    - {{id: esp, type: esp, size: 512M}}
    - {{id: root, type: root, size: 8G}}
  filesystems:
  - {{deviceId: esp, mountPoint: /boot/efi}}
  - {{deviceId: root, mountPoint: /}}
os:
  hostname: node-1
""",
    "Trident": """\
trident:
  datastorePath: /var/lib/trident/datastore.sqlite
  phonehome: http://10.77.0.1:8080/phonehome
""",
    "Storage": f"""\
{_DISK}\
    partitions:
    - {{id: srv, type: srv, size: grow}}
  filesystems:
  - {{deviceId: srv, source: new, type: xfs, mountPoint: /srv}}
  - {{source: new, type: tmpfs, mountPoint: /tmp}}
""",
    "Disk": f"""\
{_DISK}\
    partitions:
    - {{id: root, type: root, size: 8G}}
    adoptedPartitions:
    - {{id: data, matchLabel: data}}
""",
    "Partition": f"""\
{_DISK}\
    partitions:
    - id: home
      type: home
      size: 20G
      uuid: 6a2d1a5c-7e0f-4c58-9d0b-3a8f2a1b4c5d
      label: people
    - {{id: srv, size: grow}}
""",
    "AdoptedPartition": f"""\
{_DISK}\
    partitions: []
    adoptedPartitions:
    - {{id: esp, matchLabel: EFI-SYSTEM}}
    - {{id: data, matchUuid: 6a2d1a5c-7e0f-4c58-9d0b-3a8f2a1b4c5d}}
""",
    "Encryption": """\
storage:
  encryption:
    recoveryKeyUrl: file:///etc/trident/recovery.key
    pcrs: [boot-loader-code, 7, kernel-boot]
    clearTpmOnInstall: true
    volumes:
    - {id: srv, deviceName: srv, deviceId: srv-part}
""",
    "EncryptedVolume": """\
storage:
  encryption:
    pcrs: [7]
    volumes:
    - id: srv
      deviceName: srv
      deviceId: srv-part
""",
    "Raid": """\
storage:
  raid:
    syncTimeout: 600
    software:
    - {id: root, name: root, level: raid1, devices: [root-1, root-2]}
""",
    "SoftwareRaidArray": """\
storage:
  raid:
    software:
    - id: srv
      name: srv
      level: raid5
      devices: [srv-1, srv-2, srv-3]
""",
    "AbUpdate": """\
storage:
  abUpdate:
    volumePairs:
    - {id: root, volumeAId: root-a, volumeBId: root-b}
    - {id: usr, volumeAId: usr-a, volumeBId: usr-b}
""",
    "AbVolumePair": """\
storage:
  abUpdate:
    volumePairs:
    - id: root
      volumeAId: root-a
      volumeBId: root-b
""",
    "FileSystem": """\
storage:
  filesystems:
  - {deviceId: root, mountPoint: /}
  - {deviceId: srv, source: new, type: xfs, mountPoint: /srv}
  - {deviceId: data, source: adopted, mountPoint: /data}
  - {deviceId: esp, mountPoint: /efi, overrideEspMount: override}
""",
    "MountPoint": """\
storage:
  filesystems:
  - deviceId: usr
    mountPoint:
      path: /usr
      options: nodev,ro
  - deviceId: root
    mountPoint: /
""",
    "VerityDevice": """\
storage:
  verity:
  - id: usr-verity
    name: usr
    dataDeviceId: usr
    hashDeviceId: usr-hash
    corruptionOption: panic
""",
    "Swap": """\
storage:
  swap:
  - swap
  - deviceId: encrypted-swap
""",
    "Scripts": """\
scripts:
  postProvision:
  - name: note
    runOn: [clean-install]
    content: echo installed >"$TARGET_ROOT/etc/motd"
  preReboot:
  - name: drain
    runOn: [ab-update]
    content: /opt/site/drain --wait 300
""",
    "Script": """\
scripts:
  postConfigure:
  - name: register
    runOn: [clean-install, ab-update]
    interpreter: /usr/bin/python3
    path: /opt/site/register.py
    arguments: [--quiet]
    environmentVariables:
      SITE: north
""",
    "Os": """\
os:
  hostname: node-1
  additionalFiles:
  - destination: /etc/motd
    content: |
      Welcome to node-1.
  uefiFallback: optimistic
""",
    "Netplan": """\
os:
  netplan:
    version: 2
    ethernets:
      lan:
        match: {macaddress: "52:54:00:00:00:01"}
        dhcp4: true
""",
    "Selinux": """\
os:
  selinux:
    mode: enforcing
""",
    "User": """\
os:
  users:
  - name: operator
    uid: 1500
    secondaryGroups: [wheel]
    sshPublicKeys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample operator@desk
    sshMode: key-only
""",
    "LockedPassword": f"""\
{_USERS}\
    password:
      type: locked
""",
    "PlainTextPassword": f"""\
{_USERS}\
    password:
      type: dangerous-plain-text
      value: only-for-tests
""",
    "HashedPassword": f"""\
{_USERS}\
    password:
      type: dangerous-hashed
      value: $y$j9T$0123456789$abcdefghijklmnopqrstuvwxyz
""",
    "AdditionalFile": """\
os:
  additionalFiles:
  - destination: /etc/site.conf
    content: |
      site = north
    permissions: "0640"
  - destination: /etc/ssl/site.pem
    source: /opt/site/site.pem
""",
    "Module": """\
os:
  modules:
  - name: bonding
    loadMode: always
    options:
      max_bonds: "0"
""",
    "Services": """\
os:
  services:
    enable: [nginx.service]
    disable: [cups.service]
""",
    "KernelCommandLine": """\
os:
  kernelCommandLine:
    extraCommandLine: [console=ttyS0, quiet]
""",
    "Extension": f"""\
os:
  sysexts:
  - url: http://10.77.0.1:8080/files/tools.raw
    sha384: {_SHA}
    path: /var/lib/extensions/tools.raw
""",
    "ManagementOs": """\
managementOs:
  netplan:
    version: 2
    ethernets:
      any:
        match: {name: en*}
        dhcp4: true
""",
    "InternalParams": """\
internalParams:
  noTransition: true
  httpConnectionTimeoutSeconds: 30
""",
    "Image": f"""\
image:
  url: https://images.example/os.cosi
  sha384: {_SHA}
""",
    "Health": """\
health:
  checks:
  - name: web
    runOn: [ab-update]
    content: curl -fs http://localhost/
  - name: units
    runOn: [all]
    systemdServices: [nginx.service]
""",
    "SystemdCheck": """\
health:
  checks:
  - name: units
    systemdServices: [nginx.service, sshd.service]
    timeoutSeconds: 60
    runOn: [clean-install, ab-update]
""",
}
"""By the name of the section's model."""
