#!/usr/bin/env bash
# Installs what the tests need beside Go, where it is missing, from Debian's or Ubuntu's packages. Needs root or sudo only
# when something is missing.
set -euo pipefail

packages=(
	make gcc libc6-dev          # for the race detector
	ca-certificates git         # for Go modules
	user-mode-linux kmod        # the kernel that the tests of kernels run on
	iproute2 iputils-ping procps netbase # networks in it
	iptables conntrack tcpdump  # NATs in it
	openssl                     # keys and certificates as people make them
	tshark                      # an independent reader of packets
	strongswan-swanctl charon-systemd libstrongswan-standard-plugins libstrongswan-extra-plugins # an IKEv2 peer
	libcharon-extauth-plugins libcharon-extra-plugins # its EAP
	freeradius                  # a RADIUS server
)

installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

if ! command -v dpkg-query >/dev/null; then
	echo "install.sh: no Debian packages on this machine; the tests need what these have: ${packages[*]}" >&2
	exit 1
fi
missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
[[ ${#missing[@]} == 0 ]] && exit 0

echo "installing ${missing[*]}"
as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $(id -u) != 0 ]]; then
	command -v sudo >/dev/null || { echo "install.sh: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
	as_root=(sudo "${as_root[@]}")
fi
"${as_root[@]}" apt-get update -q </dev/null
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
