"""Every error that the programs raise: what it means and what to do about it.

`docs/reference/errors.md` is made from this table; a test holds it complete. The rules behind
`invalid-host-configuration-static` and `-dynamic` are in `agent.check.catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.api.errors import Kind


@dataclass(frozen=True)
class Meaning:
    """What a code says in one sentence, and what whoever reads it should do."""

    meaning: str
    action: str


_SCRIPT: Final = "Read the script's output in the error and the log; correct the script."
_PORT: Final = "Stop what uses the port, or change the address or port in the settings."
_REBUILD_SET: Final = "Build the servicing image set again with `trident-iso live`."
_DEFECT: Final = "This is a defect: report it with the log."

ERRORS: Final[Mapping[Kind, Mapping[str, Meaning]]] = {
    Kind.EXECUTION_ENVIRONMENT: {
        "cache-not-writable": Meaning(
            "Entries of the build cache could not be removed.",
            "Run the command as the user who built them.",
        ),
        "cannot-become-user": Meaning(
            "The service could not give up its privileges.",
            "Start it as root, or as the user that it should run as.",
        ),
        "check-root-privileges": Meaning(
            "Servicing changes disks and firmware and needs root.", "Run the command as root."
        ),
        "dhcp-port-unavailable": Meaning("The DHCP port could not be opened.", _PORT),
        "dns-port-unavailable": Meaning("The DNS port could not be opened.", _PORT),
        "http-port-unavailable": Meaning("The HTTP port could not be opened.", _PORT),
        "missing-binary": Meaning(
            "A program that is needed is not installed.", "Install the package that the hint names."
        ),
        "no-checkout": Meaning(
            "Images are built from a source checkout, and there is none.",
            "Run the command from a checkout of the project.",
        ),
        "not-root": Meaning("Building images needs root.", "Run the same command with sudo."),
        "package-altered": Meaning(
            "The Debian archive has another package under a version that the lock names.",
            "Find out which is the true one; if the archive is, write a new lock.",
        ),
        "package-gone": Meaning(
            "The Debian archive no longer has package versions that the lock names.",
            "Name an archive that keeps them (`--mirror`), or write a new lock.",
        ),
        "package-file-missing": Meaning(
            "A Debian package no longer holds a file that goes into images.",
            "Compare the package's list of files with the path in the message.",
        ),
        "service-ended": Meaning(
            "A part of the boot server ended by itself.", "The log above the error says why."
        ),
        "state-not-writable": Meaning(
            "The boot server cannot write its database.",
            "Give the service's user the state folder, or name another one.",
        ),
        "tftp-port-unavailable": Meaning("The TFTP port could not be opened.", _PORT),
        "unknown-user": Meaning(
            "The user that the service should run as does not exist.",
            "Create the user or name another one.",
        ),
    },
    Kind.HEALTH_CHECKS: {
        "ab-update-health-check-commit-check": Meaning(
            "An update failed its health checks; the system before it runs again.",
            "Read the last error and the health check log; correct the new system, update again.",
        ),
        "health-checks-failed": Meaning(
            "Health checks fail: the boot does not count, or the runtime change was taken back.",
            "Correct what the failed checks found, or the checks, then install or update again.",
        ),
    },
    Kind.INITIALIZATION: {
        "clean-install-safety-check": Meaning(
            "`trident install` was run on a system that lives on a disk.",
            "Boot the servicing image. To install anyway, create `/override-trident-safety-check`.",
        ),
        "boot-server-unreachable": Meaning(
            "No boot server answered the servicing system.",
            "Start it, or correct its address; check cables, addresses and firewalls.",
        ),
        "configuration-ambiguous": Meaning(
            "Several Host Configurations of one medium are for this machine.",
            "Leave one of the files that the message names.",
        ),
        "datastore-rebuilt": Meaning(
            "A damaged datastore was rebuilt; in `lastError` of the Host Status, not as a failure.",
            "Update the host once, so that it is known again what image it runs.",
        ),
        "installed-already": Meaning(
            "The machine was booted again from the medium that installed it.",
            "Remove the medium and restart, or choose to install again in the boot menu.",
        ),
        "link-down": Meaning(
            "The network interface that the machine booted from has no link.",
            "Check cable and switch port.",
        ),
        "load-host-status": Meaning(
            "The datastore cannot be read, is damaged or of a later agent; a copy of it was kept.",
            "Run `trident commit`, which rebuilds it when disks and firmware leave no doubt; else "
            "do what the hint says.",
        ),
        "medium-untrusted": Meaning(
            "The installation medium is not what was built and signed, or its list of contents is"
            " gone. Nothing was written.",
            "Compare the image with `trident-iso verify`, then write the medium anew.",
        ),
        "medium-unreadable": Meaning(
            "What was embedded into the installation medium is damaged.",
            "Write the medium anew and compare it with the image.",
        ),
        "no-host-configuration": Meaning(
            "The machine was booted from a medium that has no Host Configuration for it.",
            "Embed one, put one on a stick labelled TRIDENT-CFG, or name a boot server.",
        ),
        "other-machine": Meaning(
            "The machine was booted from a medium that a boot server made for another one.",
            "Use the medium that has this machine's MAC address in its name.",
        ),
        "parse-host-status": Meaning(
            "The Host Status in the datastore is not one that this version understands.",
            "Use the version of the agent that wrote it, or install the host anew.",
        ),
        "provisions-not-placed": Meaning(
            "What the medium brings for the live system could not be written there.",
            "Correct the paths of the files (`trident-iso customize --show`); give more memory.",
        ),
        "query-for-updates": Meaning(
            "The boot server did not hand out a Host Configuration.",
            "The message holds its answer; `trident-bootserver hosts show MAC` says more.",
        ),
        "read-cmdline": Meaning(
            "The kernel command line does not say enough to install from the network.",
            "Correct the kernel arguments that the boot server gives this machine.",
        ),
        "reinstall-not-granted": Meaning(
            "The boot server knows that the machine is installed; nothing was touched.",
            "Restart it without the medium, or grant it: `trident-bootserver hosts reinstall MAC`.",
        ),
        "run-pre-install-script": Meaning(
            "The script that the medium brought failed; nothing was installed or written.", _SCRIPT
        ),
    },
    Kind.INTERNAL: {
        "generate-diagnostics-bundle": Meaning(
            "The file of `trident diagnose` could not be written.",
            "Name a file where there is space, in a directory that exists.",
        ),
        "get-block-device-path": Meaning("A step asked for a device too early.", _DEFECT),
        "get-root-block-device-id": Meaning("The Host Status has no root file system.", _DEFECT),
        "internal": Meaning("Something happened that the program rules out.", _DEFECT),
        "wait-for-systemd-networkd": Meaning(
            "systemd-networkd did not come online in time, or does not run.",
            "See `networkctl`; or remove `internalParams.waitForSystemdNetworkd`.",
        ),
        "no-modules": Meaning("A kernel has none of the modules that images need.", _DEFECT),
        "panic": Meaning("A command failed in a way that nobody foresaw.", _DEFECT),
        "unexpected-servicing-state": Meaning(
            "The Host Status is in a state that the command cannot go on from.",
            "Look at `trident get status`; finish or repeat the operation that left it so.",
        ),
    },
    Kind.INVALID_INPUT: {
        "allowed-operations-in-host-configuration": Meaning(
            "The document has the key `allowedOperations`, which is no part of it.",
            "Remove the key; use `--allowed-operations` on the command line.",
        ),
        "certificate-authority": Meaning(
            "What is given as `--ca` holds no certificates of authorities.",
            "Give them in PEM form.",
        ),
        "clean-install-on-provisioned-host": Meaning(
            "`trident install` was run on a host that is installed already.",
            "Boot the servicing image to install it anew.",
        ),
        "command-line": Meaning(
            "The options of the command do not fit together.", "Read the command's `--help`."
        ),
        "corrupt-os-image": Meaning(
            "The image file does not hold what its metadata says.",
            "Fetch or build the image again; `trident-iso cosi verify` checks it.",
        ),
        "duplicate-fs-uuid": Meaning(
            "Two file systems of the image have the same UUID.",
            "Rebuild the image with UUIDs of their own.",
        ),
        "duplicate-fs-uuid-ab-update": Meaning(
            "The image's file system has the UUID of the one that is active now.",
            "Rebuild the image with new UUIDs.",
        ),
        "duplicate-fs-uuid-acl-verification-failed": Meaning(
            "Azure Container Linux: the same UUID on both sides, and not provably the same /usr.",
            "Rebuild the image with new UUIDs.",
        ),
        "esp-mount-point-mismatch": Meaning(
            "Image and configuration mount the EFI system partition at different places.",
            "Give the configuration's ESP the image's mount point.",
        ),
        "filesystem-size-exceeds-block-device": Meaning(
            "Data of the image are larger than the device they go to.",
            "Make the partition larger, or build a smaller image.",
        ),
        "host-configuration-refused": Meaning(
            "A declared machine's Host Configuration breaks rules.",
            "Correct it as the findings in the message say.",
        ),
        "host-not-provisioned": Meaning(
            "There is no datastore: the agent did not install this host.",
            "Install the host, or correct DatastorePath in `/etc/trident/trident.conf`.",
        ),
        "image-bad-agent-configuration": Meaning(
            "`/etc/trident/trident.conf` is malformed, or the image's contradicts the document.",
            "Correct the file, or `trident.datastorePath`.",
        ),
        "image-digest": Meaning(
            "The embedded image is not the one that the Host Configuration names.",
            "Embed the image that was meant, or correct `image.sha384`.",
        ),
        "image-not-embedded": Meaning(
            "A Host Configuration names an image that is not on the medium.",
            "Embed the image, and name it by its path on the medium.",
        ),
        "image-size": Meaning(
            "The root file system is too small for what is to be installed in it.",
            "Ask for a larger one.",
        ),
        "image-version": Meaning(
            "The image version has characters that file names cannot have.",
            "Use letters, digits and dots.",
        ),
        "invalid-artifacts": Meaning("The folder is no servicing image set.", _REBUILD_SET),
        "invalid-boot-server-settings": Meaning(
            "The boot server's settings file breaks a rule.", "Correct the file and line."
        ),
        "invalid-extension-image": Meaning(
            "systemd would not merge this extension image into the operating system.",
            "Build the image for this operating system, or list it in the section of its kind.",
        ),
        "invalid-host-configuration-dynamic": Meaning(
            "The configuration does not fit this host, or is no possible update of it.",
            "See the rule named in the error, below.",
        ),
        "invalid-host-configuration-static": Meaning(
            "The configuration contradicts itself.",
            "See the rule named in the error, below; `trident validate` lists all findings.",
        ),
        "invalid-host-declaration": Meaning(
            "A machine is declared wrongly or twice.", "Correct the declaration."
        ),
        "invalid-rollback-expectation": Meaning(
            "The rollback that is possible is of another kind than the one asked for.",
            "Leave out `--ab` or `--runtime`; `trident get rollback-chain` shows what is possible.",
        ),
        "iso-unreadable": Meaning(
            "The file is no ISO image, or none that the command can work on.",
            "Name an image that `trident-iso iso` made.",
        ),
        "lock-mismatch": Meaning(
            "The lock was written for other options, or by another version of the project.",
            "Give the options it was written with, or write a new lock.",
        ),
        "kernel-argument": Meaning(
            "A kernel argument or the countdown cannot be passed through a boot menu.",
            "Give each argument as a word of its own, without spaces and quotes.",
        ),
        "kernel-arguments-too-long": Meaning(
            "The kernel command line would be longer than kernels read.",
            "Pass fewer or shorter kernel arguments.",
        ),
        "kernel-unreadable": Meaning(
            "A kernel package does not hold a kernel as expected.", "Choose a Debian kernel."
        ),
        "live-file": Meaning(
            "A file for the live system is not named as it must be.",
            "Write FILE:/PATH or FILE:/PATH:MODE.",
        ),
        "load-cosi": Meaning(
            "The image cannot be reached, read or trusted.",
            "Check `image.url` and `image.sha384`, and that the server answers range requests.",
        ),
        "load-extension-image": Meaning(
            "An extension image cannot be reached, read or trusted.",
            "Check its `url` and `sha384`, and that the server answers range requests.",
        ),
        "machine-name": Meaning(
            "A Host Configuration is given for something that is no name of a machine, or twice.",
            "Name the machine by MAC address, serial number or UUID, each once.",
        ),
        "medium-takes-no-changes": Meaning(
            "The boot server's medium is signed and allows no unsigned changes.",
            "Build it with `--unsigned-changes`, or without a key.",
        ),
        "medium-unavailable": Meaning(
            "The installation medium that the boot server is to serve cannot be read.",
            "Build it with `trident-iso iso`, or correct `medium` in the settings.",
        ),
        "mismatched-architecture": Meaning(
            "The image is for another processor.", "Name an image for this machine."
        ),
        "missing-folder": Meaning(
            "A folder named in the settings does not exist.", "Create it or correct the settings."
        ),
        "mismatched-os-release": Meaning(
            "The image is of another operating system than the host.",
            "Name an image of the same system and variant, or install the host anew.",
        ),
        "missing-os-image": Meaning(
            "An installation needs an image, and the configuration names none.",
            "Set `image.url` and `image.sha384`.",
        ),
        "missing-os-image-filesystem": Meaning(
            "The configuration expects a file system that the image does not hold.",
            "Correct the mount point, or give the file system `source: new`.",
        ),
        "network-settings": Meaning(
            "What is given as `--network` is no netplan file.",
            "Write netplan version 2, with `network:` at the top.",
        ),
        "no-placeholder": Meaning(
            "The ISO image has no placeholder for this path.",
            "List what it has: `trident-iso patch ISO`.",
        ),
        "not-comparable": Meaning(
            "What was named is no medium, servicing image set or lock of trident-iso.",
            "Name two of one kind.",
        ),
        "nothing-staged": Meaning(
            "Only `finalize` was allowed, and nothing is staged.",
            "Run the command with `--allowed-operations stage` first.",
        ),
        "old-style-configuration": Meaning(
            "The document has the key `hostConfiguration`, as in early releases.",
            "Move what is under `hostConfiguration` to the top level and drop the rest.",
        ),
        "overlay-map-wrong": Meaning(
            "An image and the overlay map beside it do not belong together, or one is damaged.",
            "Copy both together; `trident-iso map ISO` writes the map anew.",
        ),
        "overlay-too-large": Meaning(
            "What is to be written is larger than the place that the image reserves for it.",
            "Make it smaller, or build the image with it.",
        ),
        "parse-host-configuration": Meaning(
            "The document is not YAML, or does not have the form of a Host Configuration.",
            "Correct what the message lists; `trident schema` helps editors to complete it.",
        ),
        "pre-install-script": Meaning(
            "What is given as `--pre-install` cannot be run.",
            "Name its interpreter in the first line, as in #!/bin/sh.",
        ),
        "read-input-file": Meaning(
            "A file named on the command line or in a document cannot be read.",
            "Check path and permissions.",
        ),
        "selinux-enabled-but-not-found": Meaning(
            "`os.selinux.mode` turns SELinux on, and the image has no policy or no setfiles.",
            "Add the policy and policycoreutils to the image, or set the mode to disabled.",
        ),
        "staged-configuration-changed": Meaning(
            "The configuration to finalize is not the staged one.",
            "Finalize with the staged configuration, or stage again.",
        ),
        "stub-unreadable": Meaning(
            "The stub for unified kernel images cannot be read.", "Check the package systemd-boot."
        ),
        "unexpected-verity-on-esp": Meaning(
            "The image protects its EFI system partition by verity.", "Rebuild the image."
        ),
        "unknown-machine": Meaning(
            "The boot server does not know this MAC address, or not as declared.",
            "Declare it: `trident-bootserver hosts add`.",
        ),
        "unsupported-boot-file-system-type": Meaning(
            "The image's file system that holds /boot is not ext4.", "Rebuild the image."
        ),
        "unused-os-image-filesystem": Meaning(
            "The image has a file system that the configuration does not place.",
            "Add it to `storage.filesystems`, or set `internalParams.allowUnusedFilesystems`.",
        ),
        "verity-mismatch": Meaning(
            "Image and configuration disagree on what verity protects.",
            "Make `storage.verity` match the image.",
        ),
        "signing-key": Meaning(
            "A file is no Ed25519 key in PEM form.", "Make a pair with `trident-iso key generate`."
        ),
        "write-output-file": Meaning(
            "An output file cannot be written.", "Name a place with room that can be written."
        ),
    },
    Kind.SERVICING: {
        "ab-update-reboot-check": Meaning(
            "After an update the machine runs the system before it, or an unhealthy one.",
            "See on the console why the new system did not start or was not committed in time.",
        ),
        "apply-netplan-config": Meaning(
            "netplan could not apply `os.netplan`; the network is as it was.",
            "Correct `os.netplan`; the end of netplan's output is in the message.",
        ),
        "busy": Meaning("Another operation on this host is under way.", "Wait until it has ended."),
        "clean-install-reboot-check": Meaning(
            "After the installation the machine booted something else.",
            "Correct the firmware's boot order, or install again.",
        ),
        "command-could-not-execute": Meaning(
            "A program could not be started.", "See the reason in the message."
        ),
        "command-failed": Meaning(
            "A program ended with an error; the end of its output is in the message.",
            "Run the command of the hint by hand.",
        ),
        "configure-services": Meaning(
            "The image's systemd cannot enable or disable a unit, mostly because it has none of"
            " this name.",
            "Correct `os.services`, or add the unit to the image.",
        ),
        "copy-trident-binary": Meaning(
            "The agent could not be copied to the target, or the target's Python cannot run it.",
            "Put an agent into the image; remove `internalParams.selfUpgradeTrident`.",
        ),
        "create-boot-entry": Meaning(
            "The firmware did not keep the new boot entry.",
            "Check that its variable store has room; update the firmware.",
        ),
        "create-datastore-directory": Meaning(
            "The folder of the datastore could not be made.", "Check `trident.datastorePath`."
        ),
        "create-partitions": Meaning(
            "The disk is not what was planned: it changed, or the partitioner did otherwise.",
            "Check for other programs that use the disk, then install again.",
        ),
        "deploy-esp-images": Meaning(
            "Boot files could not be put on the EFI system partition.",
            "Make the partition larger, or rebuild the image with the files that are missing.",
        ),
        "deploy-images": Meaning(
            "Writing a file system of the image failed.",
            "Check disk and network; install again.",
        ),
        "file-access": Meaning(
            "A file, directory or device could not be read or written: full, read-only, failing.",
            "Do what the hint says, then run the command again; it starts from the beginning.",
        ),
        "find-staged-file": Meaning("A file that staging left is gone.", "Stage again."),
        "generate-netplan-config": Meaning(
            "There is no netplan in the image, or netplan does not accept `os.netplan`.",
            "Install netplan into the image; correct `os.netplan`, or remove it.",
        ),
        "get-partition-number": Meaning(
            "A device was expected to be a partition and is none.", "Check the device path."
        ),
        "interrupted": Meaning(
            "The operation was stopped from outside.", "Run it again; it starts from the beginning."
        ),
        "manual-rollback": Meaning(
            "There is no earlier system to go back to, or what that needs is gone.",
            "Update the host to the configuration that you want.",
        ),
        "manual-rollback-reboot-check": Meaning(
            "After a rollback the machine runs the system that it was to leave.",
            "See on the console why the other system did not start; try again.",
        ),
        "mount-newroot": Meaning(
            "There is no empty folder to mount the new system at.",
            "Empty one of the folders in the message.",
        ),
        "pre-reboot-check": Meaning(
            "A file system of the target is damaged; nothing boots it.",
            "Check the disk; stage again.",
        ),
        "read-efi-variable": Meaning(
            "The firmware's variables cannot be read.",
            "Boot the machine in UEFI mode, not in legacy mode.",
        ),
        "reboot-timeout": Meaning(
            "A reboot was asked for and the machine is still up.",
            "See which units do not stop; reboot by hand.",
        ),
        "regenerate-initrd": Meaning(
            "The image's tool could not make the initrd anew, or it has none.",
            "Read its output in the message; see whether /boot is full.",
        ),
        "root-device-path-ab-active-volume-mismatch": Meaning(
            "The host runs from another volume than its status calls active.",
            "Reboot by the firmware's first boot entry, then try again.",
        ),
        "run-health-check": Meaning("A health check's script failed.", _SCRIPT),
        "run-post-configure-script": Meaning("A postConfigure script failed.", _SCRIPT),
        "run-post-provision-script": Meaning("A postProvision script failed.", _SCRIPT),
        "run-pre-reboot-script": Meaning(
            "A preReboot script failed. The target stays staged and is not booted.", _SCRIPT
        ),
        "run-pre-servicing-script": Meaning("A preServicing script failed.", _SCRIPT),
        "set-efi-variable": Meaning(
            "The firmware refused a variable.",
            "Free room in its store (remove boot entries), or update the firmware.",
        ),
        "set-up-extension-images": Meaning(
            "An extension image could not be put in place, or systemd did not merge it.",
            "Make room, move away what is in its place, or see why systemd left it out.",
        ),
        "set-up-uefi-fallback": Meaning(
            "There are no boot files to copy to EFI/BOOT.",
            "Stage again, or set `os.uefiFallback: disabled`.",
        ),
        "set-up-users": Meaning(
            "A user cannot be set up as the configuration says.",
            "Correct `os.users` or `managementOs.users`, or what the image says of this user.",
        ),
        "take-back-runtime-update": Meaning(
            "A failed or interrupted change of the running system could not be taken back.",
            "Correct what the message says; `trident commit` tries again.",
        ),
        "unmount-newroot": Meaning(
            "The new system could not be unmounted.", "End the processes that the hint names."
        ),
        "update-boot-order": Meaning(
            "The firmware did not keep the boot order.", "Update the firmware, or set it by hand."
        ),
        "update-grub-configs": Meaning(
            "The image's grub.cfg does not look for its file system by UUID, or starts no kernel"
            " whose arguments could be set.",
            "Rebuild the image.",
        ),
        "write-additional-file": Meaning(
            "A file of `os.additionalFiles` could not be written.",
            "Check its destination and the room on that file system.",
        ),
        "write-to-datastore": Meaning(
            "The datastore could not be written.", "Check the file system that it is on."
        ),
    },
    Kind.UNSUPPORTED_CONFIGURATION: {
        "disk-format-unsupported": Meaning(
            "The disk image is in a format that images are not made of.",
            "Convert it with the command that the hint names.",
        ),
        "image-not-understood": Meaning(
            "An image cannot be made from this system.", "The message says what it lacks."
        ),
        "image-url-scheme": Meaning(
            "Images cannot be fetched by this kind of URL.", "Use `file:`, `http:` or `https:`."
        ),
        "image-without-disk": Meaning(
            "The COSI file is older than version 1.2 and does not hold the disk's layout.",
            "Extract its images one by one, or build it anew.",
        ),
        "no-available-install-index": Meaning(
            "The EFI system partition has no free name for another installation.",
            "Remove folders of installations that are gone from EFI/.",
        ),
        "partitions-removed": Meaning(
            "Partitions of this installation are gone.",
            "Reconnect their disk; if it is lost, install the host anew.",
        ),
        "kernel-command-line-fixed": Meaning(
            "Kernel arguments are asked for that the image's unified kernel image does not have.",
            "Build them into the UKI, or use an image that boots by GRUB.",
        ),
        "signed-boot-file": Meaning(
            "A signed boot file would have to change.",
            "Build the image anew with other UUIDs and sign it again.",
        ),
        "unsupported-boot-loader": Meaning(
            "GRUB of this image's distribution is not supported.",
            "Use an image with a unified kernel image.",
        ),
        "unsupported-configuration": Meaning(
            "The configuration is valid, but this version cannot do what it asks for.",
            "Remove the feature, or use a version that supports it.",
        ),
        "uuid-unchangeable": Meaning(
            "A file system of the image cannot get another UUID.",
            "Build the image anew with other UUIDs.",
        ),
    },
}
