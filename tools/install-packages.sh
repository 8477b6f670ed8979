#!/bin/sh
# Installs what packages.txt names and the machine lacks: as root, or through
# sudo; else it prints the line to type. usage: install-packages.sh run|check
set -eu
missing=
for package in $(awk -v what="$1" '!/^#/ && ($2 == "" || $2 == what) { print $1 }' "$(dirname "$0")/../packages.txt"); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "Ingot needs packages that are not installed, and this user may not install them." >&2
    echo "Run this as root, then try again:" >&2
    echo "    apt-get update && $line" >&2
    exit 1
fi
echo "installing:$missing"
# Only what apt says of failures is shown: the rest is not of interest.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update && DEBIAN_FRONTEND=noninteractive $as_root $line; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "the packages could not be installed; the line was: $line" >&2
    exit 1
fi
