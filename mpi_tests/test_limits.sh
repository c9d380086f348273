#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_limits.sh -- little memory: a small /dev/shm, ulimit -v, ulimit -f. One code on all ranks, no
# signal, and the program goes on. Also: a rank that is killed takes the job with it, and nothing
# stays in /dev/shm.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$here/build}
set -a
# shellcheck disable=SC1091 # written by make
. "$build/mpi.env"
set +a
limits=$build/mpi_tests/examples/limits
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
n=0

# expect TEXT NAME COMMAND...: the command succeeds and says TEXT
expect()
{
    local text=$1 name=$2 out code
    shift 2
    n=$((n + 1))
    out=$("$@" 2>&1 </dev/null)
    code=$?
    if [ $code -eq 77 ]; then
        echo "ok $n - $name # SKIP $(echo "$out" | head -n 1)"
    elif [ $code -eq 0 ] && [[ $out == *$text* ]] && [[ $out == *"then 1 MiB: NSH_SUCCESS"* ]]; then
        echo "ok $n - $name"
    else
        printf '%s\n' "$out" | sed 's/^/# /'
        echo "not ok $n - $name (exit code $code)"
    fi
}

launch()
{
    timeout 60 "$here/scripts/launch" "$@"
}

with_limit()
{
    local flag=$1 value=$2
    shift 2
    (ulimit "$flag" "$value" && launch "$@")
}

# Three ranks have an array of 64 MiB when they are killed. In a /dev/shm of their own, as
# other jobs come and go in that of the machine.
killed()
{
    local out code
    n=$((n + 1))
    # shellcheck disable=SC2016 # for the inner shells
    out=$(timeout 60 unshare -m --propagation private sh -c '
        mount -t tmpfs -o size=512m tmpfs /dev/shm || exit 77
        "$1/scripts/launch" one-node 3 sh -c "
            \"\$1\" 64 \"\$2\" &
            while [ \"\$(wc -l <\"\$2\")\" -lt 3 ]; do sleep 0.05; done
            kill -9 \$!" sh "$2" "$3" >/dev/null 2>&1
        [ "$(wc -l <"$3")" -eq 3 ] && ls -A /dev/shm' sh "$here" "$limits" "$tmp" 2>&1 </dev/null)
    code=$?
    if [ $code -eq 77 ] || ! unshare -m true 2>/dev/null; then
        echo "ok $n - killed ranks leave nothing in /dev/shm" \
            "# SKIP no permission for a mount namespace"
    elif [ $code -eq 0 ] && [ -z "$out" ]; then
        echo "ok $n - killed ranks leave nothing in /dev/shm"
    else
        echo "# left: $out (exit code $code)"
        echo "not ok $n - killed ranks leave nothing in /dev/shm"
    fi
}

if [ "${SAN:-}" != '' ]; then
    echo "1..0 # SKIP sanitizers need address space"
    exit 0
fi
expect NSH_SUCCESS "without limits" launch one-node 2 "$limits" 100
expect NSH_ERR_NOMEM "more than there is" launch one-node 2 "$limits" 100000000
expect NSH_ERR_NOMEM "more than there is, a node a rank" launch per-rank 2 "$limits" 100000000
expect NSH_ERR_NOMEM "/dev/shm of 64 MiB" launch small-shm 2 "$limits" 200
expect NSH_ERR_NOMEM "ulimit -v" with_limit -v 4000000 one-node 2 "$limits" 3000
expect NSH_SUCCESS "ulimit -v, what fits" with_limit -v 4000000 one-node 2 "$limits" 200
expect NSH_ERR_NOMEM "ulimit -f" with_limit -f 100000 one-node 2 "$limits" 200
killed
echo "1..$n"
