#!/bin/busybox sh
# The first program of a machine: finds the host's root file system over virtio-9p, lays what the
# machine may write (and the packages that the host lacks) over it, and starts the agent in there.
# The kernel's command line says what must be known: weft.ipv4 and weft.ipv6 (with prefix), weft.mtu,
# weft.python, weft.agent.
export PATH=/sbin:/bin
fail() {
    echo "weft machine: $*" >&2
    echo o >/proc/sysrq-trigger
    sleep 60
}

/bin/busybox mkdir -p /proc /sys /dev /ro /rw /userland /kernel /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do
    case $word in weft.*) eval "${word#weft.}" ;; esac
done
while read -r module; do
    insmod "$module" || fail "cannot load $module"
done </modules

# Nothing that the machine sees of its host changes while it runs.
export_of() { mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose "$1" "$2"; }
export_of root /ro || fail "cannot mount the host's root"
export_of userland /userland || fail "cannot mount the packages"
export_of kernel /kernel || fail "cannot mount the kernel's modules"
mount -t tmpfs tmpfs /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/userland:/ro,upperdir=/rw/upper,workdir=/rw/work overlay /root ||
    fail "cannot lay an overlay"
for kind in proc sysfs devtmpfs; do
    where=/root/${kind%fs}
    case $kind in devtmpfs) where=/root/dev ;; esac
    mkdir -p "$where" && mount -t $kind $kind "$where"
done
mkdir -p /root/dev/shm /root/dev/pts /root/lib/modules
mount -t devpts devpts /root/dev/pts
for place in dev/shm run; do
    mkdir -p /root/$place && mount -t tmpfs -o mode=1777 tmpfs /root/$place
done
mount --bind /kernel/lib/modules /root/lib/modules

cat >/root/run/boot <<'BOOT'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
off() {
    echo "weft machine: $*" >&2
    echo o >/proc/sysrq-trigger
    sleep 60
}
modprobe -a virtio_net rdma_rxe ib_uverbs rdma_ucm || off "modules are missing"
hostname "$hostname"
sysctl -qw net.core.rmem_max=16777216 net.core.wmem_max=16777216 net.ipv6.conf.eth0.accept_dad=0
ip link set lo up
ip link set eth0 mtu "$mtu" up
ip addr add "$ipv4" dev eth0
ip addr add "$ipv6" dev eth0
ip route add default dev eth0
rdma link add rxe0 type rxe netdev eth0 || off "no RDMA device"
ulimit -l unlimited
"$python" -S -E "$agent" agent /dev/vport*p1
off "the agent has ended with code $?"
BOOT
export hostname ipv4 ipv6 mtu python agent
umount /dev /proc /sys
# The new root is everybody's, so that the kernel finds modprobe there.
exec switch_root /root /bin/sh /run/boot
