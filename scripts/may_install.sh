#!/bin/sh
# Whether a script may install system packages: it was asked to (CI or INSTALL_SYSTEM_PACKAGES=yes), and is able to.
[ -n "${CI:-}" ] || [ "${INSTALL_SYSTEM_PACKAGES:-}" = yes ] || exit 1
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
