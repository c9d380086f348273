#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_limits.sh -- little memory: a small /dev/shm, ulimit -v, ulimit -f. One code on all ranks, no
# signal, and the program goes on. Also: a rank that is killed takes the job with it, and nothing
# stays in /dev/shm.
# shellcheck source=mpi_tests/prologue.sh
. "$(dirname "${BASH_SOURCE[0]}")/prologue.sh"
limits=$build/mpi_tests/examples/limits

# says TEXT COMMAND...: the command succeeds and says TEXT
says()
{
    local text=$1 out code
    shift
    out=$("$@" 2>&1)
    code=$?
    echo "$out"
    [ $code -eq 0 ] || return $code
    [[ $out == *$text* ]] && [[ $out == *"then 1 MiB: NSH_SUCCESS"* ]]
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
    local left code
    unshare -m true 2>/dev/null || { echo "no permission for a mount namespace"; return 77; }
    : >"$tmp/filled"
    # shellcheck disable=SC2016 # for the inner shells
    left=$(timeout 60 unshare -m --propagation private sh -c '
        mount -t tmpfs -o size=512m tmpfs /dev/shm || exit 77
        "$1/scripts/launch" one-node 3 sh -c "
            \"\$1\" 64 \"\$2\" &
            while [ \"\$(wc -l <\"\$2\")\" -lt 3 ]; do sleep 0.05; done
            kill -9 \$!" sh "$2" "$3" >/dev/null 2>&1
        [ "$(wc -l <"$3")" -eq 3 ] && ls -A /dev/shm' sh "$here" "$limits" "$tmp/filled" 2>&1)
    code=$?
    echo "$left"
    [ $code -eq 0 ] || return $code
    [ -z "$left" ]
}

if [ "${SAN:-}" != '' ]; then
    echo "1..0 # SKIP sanitizers need address space"
    exit 0
fi
verdict "without limits" says NSH_SUCCESS launch one-node 2 "$limits" 100
verdict "more than there is" says NSH_ERR_NOMEM launch one-node 2 "$limits" 100000000
verdict "more than there is, a node a rank" says NSH_ERR_NOMEM launch per-rank 2 "$limits" 100000000
verdict "/dev/shm of 64 MiB" says NSH_ERR_NOMEM launch small-shm 2 "$limits" 200
verdict "ulimit -v" says NSH_ERR_NOMEM with_limit -v 4000000 one-node 2 "$limits" 3000
verdict "ulimit -v, what fits" says NSH_SUCCESS with_limit -v 4000000 one-node 2 "$limits" 200
verdict "ulimit -f" says NSH_ERR_NOMEM with_limit -f 100000 one-node 2 "$limits" 200
verdict "killed ranks leave nothing in /dev/shm" killed
echo "1..$n"
