#!/bin/sh
# apt-install.sh PACKAGE [SERVICE]: installs a Debian package without letting its service run.
#
# Debian starts a service when its package is installed, and at every boot from then on. A test suite
# has no business leaving a server behind, so for the time of the installation a policy forbids
# starting anything (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt; 101 is
# "forbidden"), and afterwards the service is disabled. A policy that is there already is left alone.
set -eu

package=$1
service=${2:-}
policy=/usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive

if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# Lists may be missing (a fresh container) or old; without a network the old ones may still do.
apt-get update || echo "apt-get update failed; trying with the lists that are there" >&2
apt-get install -y --no-install-recommends "$package"

if [ -n "$service" ]; then
    if [ -d /run/systemd/system ]; then
        systemctl disable --now "$service"
    elif command -v update-rc.d >/dev/null; then
        update-rc.d "$service" disable
    fi
fi
