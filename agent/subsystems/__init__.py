"""The domains: storage, boot, osconfig and the rest. A subsystem never calls another."""
