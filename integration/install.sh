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
	openiked                    # another
	dnsmasq-base                # a name server
	# What libreswan needs, the third.
	libnss3-tools libcap-ng0 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7 libldap-2.5-0 libldns3 libunbound8
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
# libreswan's package cannot be installed beside strongSwan's: its files are put apart.
libreswan=/opt/mipsecd-test/libreswan
[[ ${#missing[@]} == 0 && -d $libreswan ]] && exit 0

echo "installing ${missing[*]} and, in $libreswan, libreswan"
as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $(id -u) != 0 ]]; then
	command -v sudo >/dev/null || { echo "install.sh: run as root: apt-get install ${missing[*]}, and extract the package libreswan to $libreswan" >&2; exit 1; }
	as_root=(sudo "${as_root[@]}")
fi
"${as_root[@]}" apt-get update -q </dev/null
[[ ${#missing[@]} == 0 ]] || "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
if [[ ! -d $libreswan ]]; then
	apart=$(mktemp -d)
	trap 'rm -rf "$apart"' EXIT
	(cd "$apart" && apt-get download -q libreswan && dpkg-deb --extract libreswan_*.deb files)
	"${as_root[@]}" mkdir -p "${libreswan%/*}"
	"${as_root[@]}" cp -r "$apart/files" "$libreswan"
fi
