#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# prologue.sh -- what every test in shell begins with: it sources this file.
#
#   $here    the top of the source tree
#   $build   where everything was made; what its mpi.env says is in the environment
#   $tmp     a directory of this test's own, which is removed at the end
#   $n       how many cases there were: a test ends with echo "1..$n"
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$here/build}
set -a
# shellcheck disable=SC1091 # written by make
. "$build/mpi.env"
set +a
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

# verdict NAME COMMAND...: a case, which passes if the command succeeds. Where the command gives 77,
# it was skipped, and its last line says why. What it prints goes to $tmp/out, and is shown where it
# fails; lines that begin with "# " are shown always.
verdict()
{
    local name=$1 code
    shift
    n=$((n + 1))
    "$@" >"$tmp/out" 2>&1 </dev/null
    code=$?
    if [ $code -eq 0 ]; then
        grep '^# ' "$tmp/out"
        echo "ok $n - $name"
    elif [ $code -eq 77 ]; then
        echo "ok $n - $name # SKIP $(tail -n 1 "$tmp/out")"
    else
        sed 's/^\(# \)*/# /' "$tmp/out"
        echo "not ok $n - $name (exit code $code)"
    fi
}

# fails_with CODE COMMAND...: the command gives this exit code
fails_with()
{
    local code=$1
    shift
    "$@"
    [ $? -eq "$code" ]
}

# launch LAYOUT RANKS PROGRAM...: scripts/launch, for a minute at most
launch()
{
    timeout -k 5 60 "$here/scripts/launch" "$@"
}
