# shellcheck shell=bash
# node.sh: what a node's first process does, as pid 1 of its namespaces. Part of hosts.sh.

become_node() {
    local node=$1 folder=$DIR/nodes/$1 root=$DIR/nodes/$1/root
    exec 3>"$folder/ready.tmp"
    mount_root || exit 1
    mount_kernel_folders
    share_folders
    name_node
    write_sshd_config
    add_users
    show_own_figures
    mkdir -p "$root/.old"
    cd "$root" || exit 1
    pivot_root . .old || exit 1
    cd / || exit 1
    mv "/.old$folder/ready.tmp" "/.old$folder/ready"
    umount -l /.old
    rmdir /.old 2>/dev/null
    exec 3>&-
    /usr/sbin/sshd -f /etc/ssh/sshd_cluster
    # Reaps orphans, as bash does while it waits.
    exec -a cluster-init bash -c 'trap "exit 0" TERM; while :; do sleep 86400 & wait; done'
}

mount_root() {
    mkdir -p "$folder/disk" "$root" || return 1
    mount -o loop,discard "$folder/disk.img" "$folder/disk" || return 1
    mkdir -p "$folder/disk/up" "$folder/disk/work" "$folder/disk/tmp" "$folder/disk/vartmp"
    chmod 1777 "$folder/disk/tmp" "$folder/disk/vartmp"
    mount -t overlay node-root -o "lowerdir=/,upperdir=$folder/disk/up,workdir=$folder/disk/work" "$root" || return 1
    mount --bind "$folder/disk/tmp" "$root/tmp"
    mount --bind "$folder/disk/vartmp" "$root/var/tmp"
}

mount_kernel_folders() {
    local name
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o size=50% shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx" 2>/dev/null
    mount -t tmpfs -o mode=755,size=64m run "$root/run"
    mkdir -p "$root/run/sshd" "$root/run/lock"
    mount -t tmpfs -o mode=755,size=1m cgroup "$root/sys/fs/cgroup"
    for name in $(hierarchies); do
        mkdir "$root/sys/fs/cgroup/$name"
        if [ "$name" = unified ]; then
            mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
        else
            mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/$name"
        fi
    done
}

share_folders() {
    local IFS=: shared
    for shared in $CLUSTER_BIND; do
        mkdir -p "$root$shared"
        mount --rbind "$shared" "$root$shared"
    done
    mkdir -p "$root/shared"
    mount --bind "$DIR/shared" "$root/shared"
}

name_node() {
    hostname "$node"
    echo "$node" >"$root/etc/hostname"
    cp "$DIR/etc.hosts" "$root/etc/hosts"
    cp "$DIR/skew.so" "$root/etc/skew.so"
    [ -e "$root/etc/skew" ] || head -c 8 /dev/zero >"$root/etc/skew"
}

write_sshd_config() {
    cp "$folder/host_ed25519" "$root/etc/ssh/cluster_host_ed25519"
    chmod 600 "$root/etc/ssh/cluster_host_ed25519"
    cat >"$root/etc/ssh/sshd_cluster" <<SSHD
Port 22
HostKey /etc/ssh/cluster_host_ed25519
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 200:30:400
MaxSessions 200
PidFile /run/sshd.pid
SetEnv PATH=$CLUSTER_PATH LD_PRELOAD=/etc/skew.so SKEW_FILE=/etc/skew
Subsystem sftp internal-sftp
SSHD
}

add_users() {
    local home
    if ! grep -q "^$CLUSTER_USER:" "$root/etc/passwd"; then
        echo "$CLUSTER_USER:x:20001:20001::/home/$CLUSTER_USER:/bin/bash" >>"$root/etc/passwd"
        echo "$CLUSTER_USER:x:20001:" >>"$root/etc/group"
        echo "$CLUSTER_USER:*:19000:0:99999:7:::" >>"$root/etc/shadow"
    fi
    for home in "$root/root" "$root/home/$CLUSTER_USER"; do
        mkdir -p "$home/.ssh"
        cp "$DIR/id_ed25519" "$DIR/id_ed25519.pub" "$DIR/known_hosts" "$home/.ssh/"
        cp "$DIR/id_ed25519.pub" "$home/.ssh/authorized_keys"
        chmod 600 "$home/.ssh/id_ed25519" "$home/.ssh/authorized_keys"
        chmod 700 "$home/.ssh"
        rm -f "$home/.ssh/config" "$home/.bashrc"
    done
    chown -R 20001:20001 "$root/home/$CLUSTER_USER"
}

show_own_figures() { # memory and pressure of the node, not of the whole machine
    local name
    for name in meminfo swaps; do
        [ -e "$DIR/lxcfs/proc/$name" ] && mount --bind "$DIR/lxcfs/proc/$name" "$root/proc/$name"
    done
    for name in memory cpu io; do
        [ -e "$root/sys/fs/cgroup/unified/$name.pressure" ] && [ -e "$root/proc/pressure/$name" ] &&
            mount --bind "$root/sys/fs/cgroup/unified/$name.pressure" "$root/proc/pressure/$name"
    done
}
