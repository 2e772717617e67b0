#!/bin/bash
# record_all.sh REDIS_SOURCE: record again the traces of traces/ that record_trace.py made, into ./traces.
#
# REDIS_SOURCE is an unpacked source of Redis 6.2: C code to compile, and text to sort into a database.
# Needs valgrind, strace, gcc, make, perl, sqlite3 and PostgreSQL, and root (to start PostgreSQL as its own user).
# Another machine gives traces much like the shipped ones, not the same: compilers and libraries differ.
set -euo pipefail
redis=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p traces
out=$(realpath traces)
export PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)

record() { python3 "$here/record_trace.py" "$1" "$out/$2.u32.xz" --limit "$3" -- "${@:4}"; }

cp -r "$redis" "$work/redis"
cd "$work"
chmod 755 .
cc1=$(gcc -print-prog-name=cc1)
cat redis/src/*.c | tr -cs 'A-Za-z_' '\n' > words.txt

record code code_cc1 300000 "$cc1" -quiet -O2 redis/src/sds.c -o /dev/null
record code code_perl 300000 perl -MPod::Man -e 'Pod::Man->new->parse_file(@ARGV)' \
    "$(perl -MConfig -e 'print $Config{privlib}')/perl5db.pl" /dev/null
record pages pages_cc1 300000 "$cc1" -quiet -O2 redis/src/t_zset.c -o /dev/null

record paths paths_make 300000 make -s -C redis/src MALLOC=libc redis-cli || true # ends with the limit
make -s -C redis/src distclean
record blocks blocks_make 300000 make -s -C redis/src MALLOC=libc redis-cli
record paths paths_venv 300000 python3 -m venv venv

# Count the words in a table, with a page cache of 10 pages in front of the file.
record blocks blocks_sqlite 300000 sqlite3 words.db 'PRAGMA cache_size = 10' \
    'CREATE TABLE raw (word)' '.import words.txt raw' 'CREATE TABLE words (word PRIMARY KEY, n) WITHOUT ROWID' \
    'INSERT INTO words SELECT word, 1 FROM (SELECT word FROM raw LIMIT 60000) WHERE true ON CONFLICT DO UPDATE SET n = n + 1'

# PostgreSQL under its own benchmark, with the smallest buffer cache that it allows.
mkdir pg
chown postgres pg
runuser -u postgres -- initdb -D pg/data -A trust > /dev/null
cat > serve.sh <<'END'
postgres -D pg/data -k "$PWD/pg" -c listen_addresses= -c shared_buffers=128kB -c fsync=off &
until pg_isready -q -h "$PWD/pg"; do sleep 0.1; done
"$@" -h "$PWD/pg" postgres
kill -INT $!
wait
END
runuser -u postgres -- sh serve.sh pgbench -q -i -s 2
record blocks blocks_postgres 300000 runuser -u postgres -- sh serve.sh pgbench -n -t 8000
