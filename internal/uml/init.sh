# The guest's first process. The lines above this one, written for each run, say what is to be run:
# directory, environment and command as "run".

fail() { echo "init: $*"; dmesg | tail -n 20; echo o > /proc/sysrq-trigger; sleep 60; }

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc || echo "init: no /proc"
modules=/usr/lib/uml/modules/$(uname -r)

# An overlay over the machine's file system, so that everything can be written to and nothing stays.
insmod "$modules/kernel/fs/overlayfs/overlay.ko" || fail "no overlay file system (apt-get install kmod)"
mount -t tmpfs tmpfs /mnt || fail "no tmpfs"
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root || fail "no overlay"
cd /mnt/root && pivot_root . mnt && cd / || fail "no new root"
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev || fail "no /proc, /sys, /dev"
mount -t tmpfs tmpfs /run || fail "no /run"
mkdir -p /dev/pts /dev/shm && mount -t devpts devpts /dev/pts && mount -t tmpfs tmpfs /dev/shm

# Where modprobe looks, also when the kernel calls it for an algorithm or an IPsec protocol.
mkdir -p /lib/modules && ln -sfn "$modules" "/lib/modules/${modules##*/}"
modprobe -a ipv6 esp6 ah6 mip6 xfrm_user af_key ip6_tunnel xfrm6_tunnel tunnel6 authenc echainiv seqiv cbc ctr gcm \
	ghash-generic drbg sha512_generic sha256 hmac veth dummy || fail "a module is missing"
ip link set lo up || fail "no iproute2 (apt-get install iproute2)"
dmesg --clear

run
status=$?
[ $status = 0 ] || dmesg --level=emerg,alert,crit,err,warn | tail -n 20
echo "init: the test ended with status $status"
echo o > /proc/sysrq-trigger
sleep 60
