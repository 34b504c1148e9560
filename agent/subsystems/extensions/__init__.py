"""System and configuration extension images (systemd-sysext(8)): fetched, looked at, placed."""
