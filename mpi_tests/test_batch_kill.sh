#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_batch_kill.sh -- jobs on a journal are killed at any moment; two of them share one.
#
# What must hold is read from the log of mpi_tests/examples/farm.c: no task starts again after its
# end was reported, and in the end all are done with the right results.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$here/build}
set -a
# shellcheck disable=SC1091 # written by make
. "$build/mpi.env"
set +a
farm=$build/mpi_tests/examples/farm
nsh=$build/nsh
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
RANDOM=${NSH_TEST_SEED:-1}
journal=$tmp/journal
log=$tmp/log
tasks=2000
n=0

verdict()
{
    local name=$1
    shift
    n=$((n + 1))
    if "$@"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
    fi
}

# A random part of so many milliseconds.
nap()
{
    sleep "$(awk -v ms="$1" -v r="$RANDOM" 'BEGIN { printf "%.6f", ms * r / 32768 / 1000 }')"
}

forget()
{
    rm -f "$journal" "$log"
    touch "$log"
}

# No task starts after its end; as many as asked for start twice at least (killed in between).
log_good()
{
    awk -v killed="$1" '
        $1 == "start" { if ($2 in ended) { print "# task " $2 " runs again"; bad = 1 } starts[$2]++ }
        $1 == "end" { if ($2 in ended) { print "# task " $2 " ends twice"; bad = 1 } ended[$2] = 1 }
        END { for (t in starts) again += starts[t] > 1
              print "# " again + 0 " tasks were started more than once"
              exit bad || again < killed }' "$log"
}

# Each of the tasks has started; all are done and right.
all_done()
{
    local said
    said=$("$farm" --serial "$journal" "$tasks" "$log") || return 1
    echo "# $said"
    [ "$said" = "$tasks Jobs: $tasks Finished / 0 Running / 0 Failed / 0 in Queue, 0 wrong" ] &&
        [ "$(awk '$1 == "start" { print $2 }' "$log" | sort -un | wc -l)" -eq "$tasks" ]
}

# 100 kills of a process alone: most fall into a task, some into a call, some into create.
killed_alone()
{
    local kills=0 pid before=0 now line
    while [ $kills -lt 100 ]; do
        "$farm" --serial --usec 400 "$journal" "$tasks" "$log" >/dev/null &
        pid=$!
        nap 10
        kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        wait $pid 2>/dev/null
        [ -s "$journal" ] || continue
        line=$("$nsh" status "$journal" 2>&1) || [ ! -s "$journal" ] || {
            # a header that is not whole yet is nothing to show
            [ "$(stat -c %s "$journal")" -lt 64 ] || { echo "# $line"; return 1; }
            continue
        }
        now=$(awk '{ print $3 }' <<<"$line")
        [ "$now" -ge "$before" ] || { echo "# done: $before, then $now"; return 1; }
        before=$now
        [ "$before" -lt "$tasks" ] || break # nothing left to kill
    done 2>/dev/null
    echo "# $before of $tasks done after $kills kills"
    [ $kills -eq 100 ]
}

# Kills one rank of a job of two, $1 times; the launcher ends the other.
killed_ranks()
{
    local kills=0 launcher pid from
    while [ $kills -lt "$1" ]; do
        from=$(wc -l <"$log")
        "$here/scripts/launch" "$2" 2 "$farm" --usec 3000 "$journal" "$tasks" "$log" </dev/null >/dev/null 2>&1 &
        launcher=$!
        until [ "$(tail -n +$((from + 1)) "$log" | grep -c '^process')" -ge 2 ] || ! kill -0 $launcher 2>/dev/null; do
            sleep 0.02
        done
        nap 150
        pid=$(tail -n +$((from + 1)) "$log" | awk '$1 == "process" { print $3 }' | sort -R --random-source="$nsh" | head -n 1)
        [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null && kills=$((kills + 1))
        wait $launcher 2>/dev/null
    done 2>/dev/null
}

# Two jobs of two ranks at once; the first is killed as a whole on the way if $1 is 1.
two_jobs()
{
    local first second pids
    "$here/scripts/launch" one-node 2 "$farm" --usec 1500 "$journal" "$tasks" "$log" </dev/null >/dev/null 2>&1 &
    first=$!
    until [ "$(grep -c '^process' "$log")" -ge 2 ]; do sleep 0.02; done
    pids=$(awk '$1 == "process" { print $3 }' "$log")
    "$here/scripts/launch" one-node 2 "$farm" --usec 1500 "$journal" "$tasks" "$log" </dev/null >"$tmp/second" 2>&1 &
    second=$!
    if [ "$1" -eq 1 ]; then
        until [ "$(grep -c '^process' "$log")" -ge 4 ]; do sleep 0.02; done
        sleep 0.2
        # shellcheck disable=SC2086 # two of them
        kill -9 $pids 2>/dev/null
    fi
    wait $first 2>/dev/null
    wait $second || { cat "$tmp/second"; return 1; }
    sed 's/^/# /' "$tmp/second"
} 2>/dev/null

# Two jobs that both live: no task twice.
log_once()
{
    [ "$(grep -c '^start' "$log")" -eq "$tasks" ] && [ "$(grep -c '^end' "$log")" -eq "$tasks" ]
}

both_worked()
{
    [ "$(awk '$1 == "end" { print $3 }' "$log" | sort -u | wc -l)" -ge 3 ]
}

status_is()
{
    local said
    said=$("$nsh" status "$journal")
    [ "$said" = "$1" ] || { echo "# $said"; return 1; }
}

fails_with()
{
    local code=$1
    shift
    "$@" >"$tmp/out" 2>&1 </dev/null
    [ $? -eq "$code" ]
}

forget
verdict "100 random kills" killed_alone
verdict "what was reported is not run again" log_good 5
verdict "all tasks end, with their results" all_done
verdict "and do not run again" log_good 5

forget
tasks=1000
killed_ranks 6 one-node
killed_ranks 3 cliques-2
verdict "ranks killed: what was reported is not run again" log_good 3
verdict "all tasks end, with their results" all_done

forget
tasks=2000
verdict "two jobs on one journal" two_jobs 0
verdict "each task once" log_once
verdict "by both" both_worked
verdict "all done" status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"

forget
verdict "two jobs, one of them killed" two_jobs 1
verdict "what was reported is not run again" log_good 1
verdict "the other has finished its tasks" status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"

# shellcheck disable=SC2016 # for the inner shell
verdict "status --watch ends when all is done" timeout 20 sh -c '"$0" status "$1" --watch | grep -q "2000 Finished"' "$nsh" "$journal"
verdict "reset --failed: there are none" "$nsh" reset --failed "$journal"
verdict "status is the same" status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"
verdict "reset --all" "$nsh" reset --all "$journal"
verdict "all in the queue" status_is "2000 Jobs: 0 Finished / 0 Running / 0 Failed / 2000 in Queue"
verdict "status of no file" fails_with 1 "$nsh" status "$tmp/none"
verdict "status of another file" fails_with 1 "$nsh" status "$nsh"
verdict "reset of another file" fails_with 1 "$nsh" reset --all "$nsh"
verdict "reset of nothing in particular" fails_with 2 "$nsh" reset "$journal"
verdict "status of nothing" fails_with 2 "$nsh" status
echo "1..$n"
