#!/bin/sh
echo "this machine is not ready"
exit 7
