#!/bin/sh
# Sees to it that a command is there: need.sh COMMAND [PACKAGE]. Without PACKAGE its Debian package has the same name.
# A missing one is installed where that was asked for, by CI or INSTALL_SYSTEM_PACKAGES=yes, and told of elsewhere.
set -eu

command=$1
package=${2:-$1}

# Servers are in /usr/sbin, which a user's PATH may lack.
if command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ]; then
    exit 0
fi
if ! "${0%/*}/may_install.sh"; then
    echo "$command is not there. Install it (Debian: apt-get install $package)." >&2
    exit 1
fi
apt-get update -qq
case $package in
nginx | prometheus)
    # The package is a server's: to install it would start that, now and at each boot. Its command alone is taken.
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    cd "$folder"
    apt-get download -qq -o APT::Sandbox::User=root "$package"
    dpkg-deb -x ./*.deb unpacked
    install unpacked/usr/*bin/"$command" "/usr/local/bin/$command"
    ;;
redis-server)
    # The same binary is in the package of the tools, which starts no service; it acts by the name it is called by.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-tools
    ln -sf /usr/bin/redis-check-rdb /usr/local/bin/redis-server
    ;;
*)
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"
    ;;
esac
