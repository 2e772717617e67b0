#!/bin/sh
# setup.sh I N: makes node I of N ready, on CloudLab, as root. It may run again at each boot.
#
# Every node gets distcomp, in /local/distcomp, and a key with which root and the experiment's users come from node to
# node. node0 also gets /local/hosts.txt, the workers, and knows their host keys.
set -eu

number=$1
nodes=$2
repository=$(cd "$(dirname "$0")/.." && pwd)
patience_s=${PATIENCE_S:-600} # nodes do not boot at the same time

install_distcomp() {
    if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >/dev/null
    fi
    [ -x /local/distcomp/bin/pip ] || python3 -m venv /local/distcomp
    /local/distcomp/bin/pip install --quiet "$repository"
    ln -sf /local/distcomp/bin/distcomp /usr/local/bin/distcomp
}

# The key of the experiment, which the portal gives to all of its nodes and to nobody else.
install_key() {
    for home in /root /users/*; do
        [ -d "$home" ] || continue
        owner=$(stat -c %U:%G "$home")
        mkdir -p "$home/.ssh"
        touch "$home/.ssh/authorized_keys" "$home/.ssh/config"
        (umask 077 && geni-get key >"$home/.ssh/distcomp_key")
        public=$(ssh-keygen -y -f "$home/.ssh/distcomp_key")
        grep -qF "$public" "$home/.ssh/authorized_keys" || echo "$public" >>"$home/.ssh/authorized_keys"
        grep -q distcomp_key "$home/.ssh/config" ||
            printf 'Host node*\n  IdentityFile ~/.ssh/distcomp_key\n' >>"$home/.ssh/config"
        chmod 700 "$home/.ssh"
        chmod 600 "$home/.ssh/config" "$home/.ssh/authorized_keys" "$home/.ssh/distcomp_key"
        chown -R "$owner" "$home/.ssh"
    done
}

# With a single node, that is the worker too.
workers() {
    if [ "$nodes" = 1 ]; then echo node0; else seq -f 'node%g' 1 $((nodes - 1)); fi
}

know_hosts() {
    for node in $(workers); do
        until keys=$(ssh-keyscan -T 5 "$node" 2>/dev/null) && [ -n "$keys" ]; do
            patience_s=$((patience_s - 5))
            if [ $patience_s -le 0 ]; then
                echo "$node does not answer: 'ssh-keyscan $node >>/etc/ssh/ssh_known_hosts' when it does" >&2
                continue 2
            fi
            sleep 5
        done
        echo "$keys"
    done >/etc/ssh/ssh_known_hosts.new
    mv /etc/ssh/ssh_known_hosts.new /etc/ssh/ssh_known_hosts
}

install_distcomp
install_key
mkdir -p /local/work
chmod 1777 /local/work
if [ "$number" = 0 ]; then
    workers >/local/hosts.txt
    know_hosts
fi
echo "node$number is ready"
