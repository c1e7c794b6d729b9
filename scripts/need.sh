#!/bin/sh
# Sees to it that a command is there: need.sh COMMAND. Its Debian package has the same name.
set -eu

if command -v "$1" >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1"
else
    echo "$1 is not there. Install it (Debian: apt-get install $1)." >&2
    exit 1
fi
