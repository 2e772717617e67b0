#!/usr/bin/env bash
# hosts.sh: several hosts on one Linux machine, for tests of what needs more than one. Tests use it through Python
# (tests/support/cluster/__init__.py); by hand it is good for a look around.
#
# A host ("node") is a set of namespaces (net, pid, mount, uts, ipc, cgroup, time) with an overlay root on a disk image
# of its own, so that /root, /etc, /var and /tmp are private, an sshd, limits for memory and processes, and a monotonic
# clock unlike that of the others. Addresses are 10.10.1.1 (node0), 10.10.1.2 (node1) and so on; nodes reach one another
# and nothing else. Needs root and cgroup v1 controllers.
#
#   hosts.sh up N MEMORY          start node0 to node(N-1), e.g. up 4 1G
#   hosts.sh down                 stop all and remove every trace; also of an `up` that was killed
#   hosts.sh reset                every node up, healed, thawed, with no process but init and sshd
#   hosts.sh exec NODE COMMAND... run a command in a node, in about 20 ms
#   hosts.sh status               nodes, addresses, pids, memory
#   hosts.sh fault KIND NODE ...  see faults.sh
#
# Environment, with defaults: CLUSTER_NAME=hosts   CLUSTER_BIND='' (directories, ':' between, that all nodes share with
# this machine; besides, all share an empty /shared)   CLUSTER_MEMORY0=MEMORY (of node0)   CLUSTER_DISK=4G (sparse, per node)   CLUSTER_PATH (of ssh sessions)
# CLUSTER_USER=user (a plain user on each node)   CLUSTER_PYTHON=python3
set -u -o pipefail
umask 022

CLUSTER_NAME=${CLUSTER_NAME:-hosts}
CLUSTER_BIND=${CLUSTER_BIND:-}
CLUSTER_DISK=${CLUSTER_DISK:-4G}
CLUSTER_PATH=${CLUSTER_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
CLUSTER_USER=${CLUSTER_USER:-user}
CLUSTER_PYTHON=${CLUSTER_PYTHON:-python3}
SELF=$(readlink -f "$0")
HERE=$(dirname "$SELF")
DIR=/tmp/distcomp-cluster/$CLUSTER_NAME
FABRIC=$CLUSTER_NAME-fabric   # the network namespace that holds the bridge between the nodes
SUBNET=10.10.1
CGROUPS=/sys/fs/cgroup

die() { echo "hosts.sh: $*" >&2; exit 1; }

# Names of interfaces have 15 characters at most.
case $CLUSTER_NAME in *[!a-z0-9]* | '' | ???????*) die "CLUSTER_NAME: 1 to 6 small letters and digits" ;; esac

# ------------------------------------------------------------------ groups: one per node in each hierarchy
hierarchies() {
    local name
    for name in memory cpu pids unified; do [ -d $CGROUPS/$name ] && echo $name; done
}
group() { echo "$CGROUPS/$1/distcomp-cluster/$CLUSTER_NAME${2:+/$2}"; }
make_groups() { # NODE MEMORY
    local name
    for name in $(hierarchies); do mkdir -p "$(group "$name" "$1")" || return 1; done
    echo 2000 >"$(group pids "$1")/pids.max"
    echo "$2" >"$(group memory "$1")/memory.limit_in_bytes"
}
join_groups() {
    local name
    for name in $(hierarchies); do echo "$BASHPID" >"$(group "$name" "$1")/cgroup.procs" || return 1; done
}
kill_group() { # SIGKILL for every process of a node, and wait until they are gone
    local folder
    folder=$(group unified "$1")
    [ -d "$folder" ] || return 0
    echo 0 >"$folder/cgroup.freeze" 2>/dev/null
    echo 1 >"$folder/cgroup.kill" 2>/dev/null
    for _ in $(seq 500); do
        grep -q 'populated 0' "$folder/cgroup.events" 2>/dev/null && return 0
        sleep 0.01
    done
    echo "hosts.sh: processes are left in $folder" >&2
    return 1
}
remove_groups() { # [NODE]
    local name folder
    for name in $(hierarchies); do
        folder=$(group "$name" "${1:-}")
        [ -d "$folder" ] && find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
    done
}

# ------------------------------------------------------------------ nodes and their network
nodes() {
    local folder
    for folder in "$DIR"/nodes/node*; do [ -d "$folder" ] && basename "$folder"; done | sort -V
}
number() { echo "${1#node}"; }
address() { echo "$SUBNET.$(($(number "$1") + 1))"; }
hardware_address() { printf '02:dc:00:00:00:%02x\n' $(($(number "$1") + 1)); }
need() { [ -d "$DIR/nodes/${1:-none}" ] || die "no such node: ${1:-(none given)}"; }
init_pid() { # of the node's init on this machine; nothing when the node is down
    local pid
    pid=$(cat "$DIR/nodes/$1/pid" 2>/dev/null) && [ -n "$pid" ] && [ -d "/proc/$pid" ] &&
        grep -q "/distcomp-cluster/$CLUSTER_NAME/$1" "/proc/$pid/cgroup" && echo "$pid"
}
in_fabric() { ip netns exec "$FABRIC" "$@"; }
no_ipv6() { ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; }
make_network() {
    ip netns add "$FABRIC" && no_ipv6 "$FABRIC" || return 1
    in_fabric ip link add br0 type bridge forward_delay 0
    in_fabric ip link set br0 up
    in_fabric ip link set lo up
}
plug_in() { # NODE
    local node=$1 space=$CLUSTER_NAME-$1
    ip netns add "$space" && no_ipv6 "$space" || return 1
    ip -n "$FABRIC" link add "p-$node" type veth \
        peer name eth0 address "$(hardware_address "$node")" netns "$space" || return 1
    in_fabric ip link set "p-$node" master br0 up
    ip -n "$space" link set lo up
    ip -n "$space" addr add "$(address "$node")/24" dev eth0
    ip -n "$space" link set eth0 up
}

make_disk() {
    rm -f "$DIR/nodes/$1/disk.img"
    truncate -s "$CLUSTER_DISK" "$DIR/nodes/$1/disk.img" &&
        mkfs.ext4 -q -F -m 0 -J size=4 -E lazy_itable_init=1,nodiscard "$DIR/nodes/$1/disk.img"
}
boot() {
    local node=$1 folder=$DIR/nodes/$1 starter since pid
    [ -z "$(init_pid "$node")" ] || return 0
    in_fabric ip link set "p-$node" up
    since=$((($(number "$node") + 1) * 5000))
    rm -f "$folder/ready" "$folder/pid"
    (
        join_groups "$node" || exit 1
        cd /
        exec setsid nsenter --net="/run/netns/$CLUSTER_NAME-$node" \
            unshare -m -u -i -p -C -T --monotonic $since --boottime $since --fork --kill-child --propagation private \
            bash "$SELF" __init "$node"
    ) </dev/null >"$folder/init.log" 2>&1 9>&- &
    starter=$!
    for _ in $(seq 500); do
        [ -e "$folder/ready" ] && break
        [ -d /proc/$starter ] || break
        sleep 0.02
    done
    if [ ! -e "$folder/ready" ]; then
        sed 's/^/  /' "$folder/init.log" >&2
        echo "hosts.sh: $node did not start" >&2
        return 1
    fi
    read -r pid _ <"/proc/$starter/task/$starter/children"
    echo "$pid" >"$folder/pid"
}
wait_for_sshd() {
    for _ in $(seq 500); do
        nsenter --net="/run/netns/$CLUSTER_NAME-$1" bash -c 'exec 3<>/dev/tcp/127.0.0.1/22' 2>/dev/null && return 0
        sleep 0.02
    done
    return 1
}

# ------------------------------------------------------------------ the whole
do_down() {
    local node space mount
    for node in $(ls "$(group unified)" 2>/dev/null); do
        [ -d "$(group unified "$node")" ] && kill_group "$node"
    done
    for space in $(ip netns list | awk '{print $1}' | grep -E "^$CLUSTER_NAME-(node[0-9]+|fabric)$"); do
        ip netns del "$space"
    done
    for mount in $(awk -v d="$DIR/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r); do umount -l "$mount"; done
    for node in $(ls "$(group unified)" 2>/dev/null); do
        [ -d "$(group unified "$node")" ] && remove_groups "$node"
    done
    remove_groups
    rmdir $CGROUPS/*/distcomp-cluster 2>/dev/null
    rm -rf --one-file-system "$DIR"
    rmdir /tmp/distcomp-cluster 2>/dev/null
    return 0
}
do_up() { # N MEMORY
    local wanted=$1 memory=$2 node
    [ "$(id -u)" = 0 ] || die "needs root"
    case $wanted in '' | *[!0-9]*) die "up N MEMORY" ;; esac
    do_down
    mkdir -p "$DIR/nodes" "$DIR/shared"
    trap 'status=$?; [ $status = 0 ] || { echo "hosts.sh: up failed, cleaning up" >&2; do_down; }' EXIT
    trap 'exit 130' INT TERM
    make_keys "$wanted" || die "keys"
    declare -p CLUSTER_BIND CLUSTER_DISK CLUSTER_PATH CLUSTER_USER CLUSTER_PYTHON >"$DIR/settings"
    cc -O2 -shared -fPIC -o "$DIR/skew.so" "$HERE/skew.c" -ldl -lm || die "skew.so"
    show_limits || die "lxcfs"
    make_network || die "network"
    for node in $(nodes); do
        plug_in "$node" || die "network of $node"
        if [ "$node" = node0 ]; then make_groups node0 "${CLUSTER_MEMORY0:-$memory}"; else make_groups "$node" "$memory"; fi ||
            die "groups of $node"
        make_disk "$node" || die "disk of $node"
        boot "$node" || die "boot of $node"
    done
    for node in $(nodes); do wait_for_sshd "$node" || die "sshd of $node"; done
    trap - EXIT INT TERM
}
make_keys() { # N
    local node
    ssh-keygen -q -t ed25519 -N '' -C cluster -f "$DIR/id_ed25519" || return 1
    for node in $(seq 0 $(($1 - 1))); do mkdir "$DIR/nodes/node$node"; done
    echo "127.0.0.1 localhost" >"$DIR/etc.hosts"
    for node in $(nodes); do
        echo "$(address "$node") $node" >>"$DIR/etc.hosts"
        ssh-keygen -q -t ed25519 -N '' -C "$node" -f "$DIR/nodes/$node/host_ed25519" || return 1
        echo "$node,$(address "$node") $(cut -d' ' -f1,2 <"$DIR/nodes/$node/host_ed25519.pub")" >>"$DIR/known_hosts"
    done
}
show_limits() { # /proc/meminfo of a node shows the node's own memory
    command -v lxcfs >/dev/null || return 1
    mkdir -p "$DIR/lxcfs" "$(group unified aux)"
    (
        echo "$BASHPID" >"$(group unified aux)/cgroup.procs"
        cd /
        exec setsid lxcfs -f -p "$DIR/lxcfs.pid" "$DIR/lxcfs"
    ) </dev/null >"$DIR/lxcfs.log" 2>&1 9>&- &
    for _ in $(seq 500); do
        [ -e "$DIR/lxcfs/proc/meminfo" ] && return 0
        sleep 0.01
    done
    return 1
}
do_reset() {
    local node
    for node in $(nodes); do
        do_fault thaw "$node"
        do_fault heal "$node"
        if [ -n "$(init_pid "$node")" ]; then
            do_fault killall "$node"
            do_fault unfill "$node"
            do_fault skew "$node" 0
            (do_exec "$node" sh -c 'kill -0 "$(cat /run/sshd.pid)" 2>/dev/null') || do_fault sshup "$node"
        fi
        boot "$node" || return 1
    done
    for node in $(nodes); do wait_for_sshd "$node" || return 1; done
}
do_exec() { # NODE COMMAND...: with this machine's environment, but for a few
    local node=$1 pid
    shift
    need "$node"
    pid=$(init_pid "$node") || die "$node is down"
    join_groups "$node" || die "groups of $node"
    exec nsenter -t "$pid" -m -u -i -n -p -C -T --wdns=/root -- \
        env HOME=/root USER=root TMPDIR=/tmp LD_PRELOAD=/etc/skew.so SKEW_FILE=/etc/skew "$@"
}
do_status() {
    local node
    printf '%-8s %-12s %-8s %10s %10s  %s\n' node address pid used_MiB limit_MiB processes
    for node in $(nodes); do
        printf '%-8s %-12s %-8s %10s %10s  %s\n' "$node" "$(address "$node")" "$(init_pid "$node" || echo down)" \
            $(($(cat "$(group memory "$node")/memory.usage_in_bytes") >> 20)) \
            $(($(cat "$(group memory "$node")/memory.limit_in_bytes") >> 20)) \
            "$(wc -l <"$(group memory "$node")/cgroup.procs")"
    done
}

# shellcheck source=faults.sh
. "$HERE/faults.sh"
# shellcheck disable=SC1091
[ "${1:-}" != up ] && [ -r "$DIR/settings" ] && . "$DIR/settings"
verb=${1:-help}
[ $# -gt 0 ] && shift
case $verb in
    up | down)
        mkdir -p "$(dirname "$DIR")"
        # Not in $DIR, which `down` removes.
        exec 9>"/run/lock/distcomp-cluster-$CLUSTER_NAME.lock"
        flock 9
        if [ "$verb" = up ]; then do_up "${1:-}" "${2:-1G}"; else do_down; rm -f "/run/lock/distcomp-cluster-$CLUSTER_NAME.lock"; fi
        ;;
    reset) do_reset ;;
    exec) do_exec "$@" ;;
    fault) do_fault "$@" ;;
    status) do_status ;;
    __init) . "$HERE/node.sh"; become_node "$1" ;;
    *) sed -n '2,/^set -u/p' "$SELF" | sed -n 's/^# \{0,1\}//p' ;;
esac
