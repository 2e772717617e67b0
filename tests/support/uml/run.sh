#!/bin/sh
# run.sh PYTHON MEMORY FOLDER COMMAND...: run a command as root in a second kernel (User Mode Linux) with cgroups of
# version 2, one processor and MEMORY (512M); PYTHON helps to start it. The command sees this machine's files, but may
# write only below FOLDER and in its own /run (TMPDIR). What it prints goes to standard output, its exit code is ours.
# 125: the kernel did not come to an end.
set -eu
python=$1 memory=$2 folder=$(readlink -f "$3") here=$(readlink -f "$(dirname "$0")")
shift 3
without=-AVX_Fast_Unaligned_Load,-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-XSAVEC,-XSAVE,-BMI2
mkdir -p "$folder/uml"
rm -f "$folder/uml/status"
{
    echo '#!/bin/sh'
    export -p
    echo "cd '$PWD'; export TMPDIR=/run/tmp"
    # plainregisters.py: the upper halves of the wide ones are lost with each page fault.
    echo "export GLIBC_TUNABLES=glibc.cpu.hwcaps=$without"
    printf 'exec'
    for word; do printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done
    echo
} >"$folder/uml/command"
cat >"$folder/uml/init" <<INIT
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/tmp /run/out
mount -t tmpfs shm /dev/shm
mount -t devpts devpts /dev/pts
mount -t hostfs none /run/out -o '$folder'
mount --bind /run/out '$folder'
ip link set lo up
sh '$folder/uml/command' </dev/null >'$folder/uml/printed' 2>&1
echo \$? >'$folder/uml/status'
sync
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod +x "$folder/uml/init"
# Its memory is a file that must not be on a disk.
TMPDIR=/dev/shm "$python" "$here/plainregisters.py" linux.uml mem="$memory" root=none rootfstype=hostfs ro init="$folder/uml/init" \
    con=null con0=null ssl=null quiet </dev/null >"$folder/uml/console" 2>&1 || true
cat "$folder/uml/printed"
if [ ! -s "$folder/uml/status" ]; then
    tail -n 20 "$folder/uml/console" >&2
    exit 125
fi
exit "$(cat "$folder/uml/status")"
