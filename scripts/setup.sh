#!/bin/sh
# Makes .venv and installs a lock file into it: setup.sh LOCK STAMP. The stamp is written when all is there.
# It installs no system package, unless CI or INSTALL_SYSTEM_PACKAGES=yes asks for that.
set -eu

lock=$1
stamp=$2

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    echo "$PYTHON is not there. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..." >&2
    exit 1
fi

# Debian keeps what a virtual environment needs in a package of its own.
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    if "${0%/*}/may_install.sh"; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
    else
        echo "$PYTHON cannot make virtual environments." \
            "Install its venv module (Debian: apt-get install python3-venv)." >&2
        exit 1
    fi
fi

# One that was left half-made is made anew.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi

echo "Installing $lock into .venv (a few minutes the first time) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile -r "$lock"
# On all cores, which pip does not do. What cannot be compiled is reported when it is imported.
.venv/bin/python -m compileall -q -j 0 -x '/tests/' .venv/lib >/dev/null || true
touch "$stamp"
