# shellcheck shell=bash
# faults.sh: what can go wrong with a node, done to it. Part of hosts.sh.
#
#   cut N | heal N          the cable is pulled (no carrier) | every fault of the node's network is undone
#   drop N                  packets vanish, the carrier stays
#   part A B | oneway A B   A and B cannot talk | what A sends to B vanishes
#   loss N PERCENT          of packets, each way
#   delay N MS [JITTER_MS]  each way
#   crash N                 everything is killed and peers get no FIN or RST; the disk keeps all that was written
#   powerloss N             as crash, and what was never synced is not on the disk
#   boot N | wipe N         the node starts again, with its disk | with an empty one
#   killall N               SIGKILL for every process but init and sshd's listener; peers see FIN or RST
#   freeze N | thaw N       no process runs; the kernel still accepts and acknowledges
#   fill N | unfill N       the disk is full | has room again
#   skew N SECONDS          the wall clock is wrong by so much, at once, in running programs too
#   memory N LIMIT          e.g. 512M
#   sshdown N | sshup N     no new logins | logins

do_fault() { # KIND NODE ...
    local kind=${1:-} node=${2:-}
    need "$node"
    shift 2
    case $kind in
        cut) in_fabric ip link set "p-$node" down ;;
        heal) heal "$node" ;;
        drop)
            rule "drop-$node" iifname "p-$node" drop
            rule "drop-$node" oifname "p-$node" drop
            ;;
        part)
            need "$1"
            rule "part-$node-$1" iifname "p-$node" oifname "p-$1" drop
            rule "part-$node-$1" iifname "p-$1" oifname "p-$node" drop
            ;;
        oneway)
            need "$1"
            rule "part-$node-$1" iifname "p-$node" oifname "p-$1" drop
            ;;
        loss)
            rule "loss-$node" iifname "p-$node" numgen random mod 100 lt "$1" drop
            rule "loss-$node" oifname "p-$node" numgen random mod 100 lt "$1" drop
            ;;
        delay) delay "$node" "$@" ;;
        crash)
            in_fabric ip link set "p-$node" down
            kill_group "$node"
            rm -f "$DIR/nodes/$node/pid"
            ;;
        powerloss) power_loss "$node" ;;
        boot) boot "$node" && wait_for_sshd "$node" ;;
        wipe)
            [ -z "$(init_pid "$node")" ] || do_fault crash "$node"
            make_disk "$node"
            boot "$node" && wait_for_sshd "$node"
            ;;
        killall) kill_all "$node" ;;
        freeze) echo 1 >"$(group unified "$node")/cgroup.freeze" ;;
        thaw) echo 0 >"$(group unified "$node")/cgroup.freeze" ;;
        # No script may hold a file on the node's disk open, so each runs in the node.
        # Most of the room, most of what is left, and so on: written is only the rest.
        fill) (do_exec "$node" sh -c 'for part in 1 2 3; do
                fallocate -l $(($(df --output=avail -B1 / | tail -1) / 100 * 98)) /var/tmp/.fill$part
            done
            dd if=/dev/zero of=/var/tmp/.fill4 bs=4k 2>/dev/null; true') ;;
        unfill) (do_exec "$node" sh -c 'rm -f /var/tmp/.fill*') ;;
        skew) "$CLUSTER_PYTHON" -S -c 'import struct, sys
sys.stdout.buffer.write(struct.pack("d", float(sys.argv[1])))' "$1" |
            (do_exec "$node" dd of=/etc/skew conv=notrunc status=none) ;;
        memory) echo "$1" >"$(group memory "$node")/memory.limit_in_bytes" ;;
        sshdown) (do_exec "$node" sh -c 'kill $(cat /run/sshd.pid)') ;;
        sshup) (do_exec "$node" /usr/sbin/sshd -f /etc/ssh/sshd_cluster) ;;
        *) die "unknown fault: $kind" ;;
    esac
}

rule() { # TAG RULE...: a rule of the bridge that `heal` finds by its tag
    local tag=$1
    shift
    in_fabric nft list table bridge faults >/dev/null 2>&1 ||
        in_fabric nft 'add table bridge faults; add chain bridge faults nodes { type filter hook forward priority 0; }'
    in_fabric nft add rule bridge faults nodes "$@" comment "\"$tag\"" || die "nft rule"
}

heal() {
    local node=$1 other handle
    in_fabric ip link set "p-$node" up
    in_fabric nft -a list chain bridge faults nodes 2>/dev/null |
        sed -n "s/.*comment \"\(drop-$node\|loss-$node\|part-$node-node[0-9]*\|part-node[0-9]*-$node\)\".*handle //p" |
        while read -r handle; do in_fabric nft delete rule bridge faults nodes handle "$handle"; done
    stop_delay "$node"
    # Else the first connection may hear "No route to host" for some seconds more.
    for other in $(nodes); do ip -n "$CLUSTER_NAME-$other" neigh flush dev eth0 2>/dev/null; done
    return 0
}

delay() { # NODE MS [JITTER_MS]: a relay in user space between the node and the bridge, for kernels without netem
    local node=$1 tap log=$DIR/nodes/$1/relay.log
    stop_delay "$node"
    rm -f "$log" # of an earlier relay, which was ready too
    mkdir -p "$(group unified "relay-$node")"
    for tap in "ta-$node" "tb-$node"; do
        in_fabric ip tuntap add dev "$tap" mode tap
        in_fabric ip link set "$tap" up
    done
    in_fabric ip link add "b-$node" type bridge forward_delay 0
    in_fabric ip link set "b-$node" up
    (
        echo "$BASHPID" >"$(group unified "relay-$node")/cgroup.procs"
        cd /
        exec setsid ip netns exec "$FABRIC" "$CLUSTER_PYTHON" -S "$HERE/relay.py" "ta-$node" "tb-$node" "$2" "${3:-0}"
    ) </dev/null >"$log" 2>&1 9>&- &
    for _ in $(seq 500); do
        grep -qs ready "$log" && break
        sleep 0.02
    done
    if ! grep -q ready "$log"; then
        stop_delay "$node"
        die "delay: $(cat "$log")"
    fi
    in_fabric ip link set "tb-$node" master br0
    in_fabric ip link set "p-$node" master "b-$node"
    in_fabric ip link set "ta-$node" master "b-$node"
}
stop_delay() {
    local node=$1 link
    [ -d "$(group unified "relay-$node")" ] || return 0
    kill_group "relay-$node"
    remove_groups "relay-$node"
    in_fabric ip link set "p-$node" master br0
    for link in "b-$node" "ta-$node" "tb-$node"; do in_fabric ip link del "$link" 2>/dev/null; done
    return 0
}

power_loss() { # what the image holds while the node is frozen is what was written back so far
    local node=$1 image=$DIR/nodes/$1/disk.img
    [ -n "$(init_pid "$node")" ] || die "$node is down"
    in_fabric ip link set "p-$node" down
    echo 1 >"$(group unified "$node")/cgroup.freeze"
    cp --sparse=always "$image" "$image.then" || die "no room for a copy of the disk"
    do_fault crash "$node"
    for _ in $(seq 100); do
        losetup -j "$image" | grep -q . || break
        sleep 0.05
    done
    mv "$image.then" "$image"
}

kill_all() { # again until none is left: what is being killed may start others
    local node=$1 init pid left
    init=$(init_pid "$node") || die "$node is down"
    for _ in $(seq 50); do
        left=
        for pid in $(cat "$(group unified "$node")/cgroup.procs"); do
            [ "$pid" = "$init" ] || [ "$pid" = "$(parent "$init")" ] || is_own "$pid" "$init" || left="$left $pid"
        done
        [ -n "$left" ] || return 0
        # shellcheck disable=SC2086
        kill -9 $left 2>/dev/null
        sleep 0.02
    done
    echo "hosts.sh: processes are left on $node:$left" >&2
    return 1
}
parent() { awk '{print $4}' "/proc/$1/stat" 2>/dev/null; }
is_own() { # PID INIT: part of the node itself
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q 'sshd_cluster \[listener\]' && return 0
    [ "$(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null)" = 'sleep 86400 ' ] && [ "$(parent "$1")" = "$2" ]
}
