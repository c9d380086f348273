#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_batch_kill.sh -- jobs on a journal are killed at any moment; two of them share one.
#
# What must hold is read from the log of mpi_tests/examples/farm.c: no task starts again after its
# end was reported, and in the end all are done with the right results. Whether a test passes never
# depends on how fast a job starts or runs: a job that is to be killed stays in its K-th task (farm
# --hold K), so there is always something left to kill, and kills wait for lines of the log.
# shellcheck source=mpi_tests/prologue.sh
. "$(dirname "${BASH_SOURCE[0]}")/prologue.sh"
farm=$build/mpi_tests/examples/farm
nsh=$build/nsh
RANDOM=${NSH_TEST_SEED:-1}
journal=$tmp/journal
log=$tmp/log
tasks=2000

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
        $1 == "start" { if ($2 in ended) { print "# task " $2 " runs again"; bad = 1 }
                        starts[$2]++ }
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

# count WORD PID: lines of the log that begin with the word and are of this process
count()
{
    awk -v word="$1" -v pid="$2" '$1 == word && $3 == pid { n++ } END { print n + 0 }' "$log"
}

# What the journal says is done; fails if it is no journal and should be one.
finished()
{
    local line
    if line=$("$nsh" status "$journal" 2>&1); then
        awk '{ print $3 }' <<<"$line"
    elif [ ! -e "$journal" ] || [ "$(stat -c %s "$journal")" -lt 64 ]; then
        echo 0 # a header that is not whole yet is nothing to show
    else
        echo "$line"
        return 1
    fi
}

# 100 kills of a process alone, each of which would end fewer than 20 tasks of the 2000: some at any
# moment, most when a task has begun, a few after some more microseconds, every fifth in a task.
killed_alone()
{
    local i pid hold begun before=0 now
    for ((i = 1; i <= 100; i++)); do
        hold=$((2 + RANDOM % 18))
        case $((i % 5)) in
        0) begun=$hold ;;
        1) begun=0 ;;
        *) begun=$((1 + RANDOM % (hold - 1))) ;;
        esac
        "$farm" --serial --usec 400 --hold $hold "$journal" "$tasks" "$log" >"$tmp/said" 2>&1 &
        pid=$!
        until [ "$(count start $pid)" -ge $begun ]; do
            kill -0 $pid || { sed 's/^/# /' "$tmp/said"; return 1; }
        done
        [ $begun -eq "$hold" ] || nap 10
        kill -9 $pid || { echo "# it ended by itself"; return 1; }
        wait $pid
        now=$(finished) || { echo "# $now"; return 1; }
        [ "$now" -ge "$before" ] || { echo "# done: $before, then $now"; return 1; }
        before=$now
    done 2>/dev/null
    echo "# $before of $tasks done after 100 kills"
    [ "$before" -gt 0 ]
}

# Kills one rank of a job of two, $1 times; the launcher ends the other. Every job would end fewer
# than 80 tasks. A rank is killed in its last one, or at some moment before.
killed_ranks()
{
    local i launcher pid begun
    for ((i = 1; i <= $1; i++)); do
        cp "$log" "$tmp/before"
        begun=$((i % 2 ? 40 : 1 + RANDOM % 30))
        "$here/scripts/launch" "$2" 2 "$farm" --usec 3000 --hold 40 "$journal" "$tasks" "$log" \
            </dev/null >"$tmp/said" 2>&1 &
        launcher=$!
        # The first process of this job that has begun so many tasks.
        until pid=$(tail -c +$(($(stat -c %s "$tmp/before") + 1)) "$log" |
            awk -v n=$begun '$1 == "start" && ++begun[$3] == n { print $3; exit }') &&
            [ -n "$pid" ]; do
            kill -0 $launcher || { sed 's/^/# /' "$tmp/said"; return 1; }
            sleep 0.02
        done
        kill -9 "$pid" || { echo "# it ended by itself"; return 1; }
        wait $launcher
    done 2>/dev/null
    return 0
}

# ended_by N: so many processes have ended a task
ended_by()
{
    [ "$(awk '$1 == "end" { print $3 }' "$log" | sort -u | wc -l)" -ge "$1" ]
}

# Two jobs of two ranks at once; the first is killed as a whole on the way if $1 is 1. Each process
# stays in its 100th task until all four have ended some.
two_jobs()
{
    local first second pids farming code
    farming=("$farm" --usec 1500 --hold 100 --until "$tmp/go" --wait)
    rm -f "$tmp/go"
    [ "$1" -eq 0 ] || farming[6]=$tmp/never # the first job is killed there
    "$here/scripts/launch" one-node 2 "${farming[@]}" "$journal" "$tasks" "$log" \
        </dev/null >"$tmp/first" 2>&1 &
    first=$!
    until ended_by 2; do
        kill -0 $first || { sed 's/^/# /' "$tmp/first"; return 1; }
        sleep 0.02
    done
    pids=$(awk '$1 == "process" { print $3 }' "$log")
    farming[6]=$tmp/go
    "$here/scripts/launch" one-node 2 "${farming[@]}" "$journal" "$tasks" "$log" \
        </dev/null >"$tmp/second" 2>&1 &
    second=$!
    until ended_by 4; do
        kill -0 $second || { sed 's/^/# /' "$tmp/second"; return 1; }
        sleep 0.02
    done
    if [ "$1" -eq 1 ]; then
        for pid in $pids; do # both are in a task
            until [ "$(count start "$pid")" -ge 100 ]; do sleep 0.02; done
        done
        # shellcheck disable=SC2086 # two of them
        kill -9 $pids
    fi
    touch "$tmp/go"
    wait $first
    code=$?
    [ $code -eq 0 ] || [ "$1" -eq 1 ] || {
        echo "# exit code $code"
        sed "s|^|# |" "$tmp/first"
        return 1
    }
    wait $second
    code=$?
    [ $code -eq 0 ] || { echo "# exit code $code"; sed "s|^|# |" "$tmp/second"; return 1; }
    sed 's/^/# /' "$tmp/second"
} 2>/dev/null

# said NAME TEXT: what a job has printed at its end, besides what MPI has to say
said()
{
    grep -qxF "$2" "$tmp/$1" || { sed "s|^|# $1: |" "$tmp/$1"; return 1; }
}

both_said()
{
    said first "$1" && said second "$1"
}

# Task 3 of 8 kills every job. What it leaves is done by the second one; the third, which may try it
# twice, fails it.
poisoned()
{
    local poison=("$farm" --serial --usec 0 --crash 3 --attempts 2 "$journal" 8 "$log")
    "${poison[@]}" >/dev/null 2>&1 && return 1
    status_is "8 Jobs: 3 Finished / 0 Running / 0 Failed / 5 in Queue" || return 1
    "${poison[@]}" >/dev/null 2>&1 && return 1
    status_is "8 Jobs: 7 Finished / 0 Running / 0 Failed / 1 in Queue" || return 1
    "${poison[@]}" >"$tmp/first" 2>&1
    said first "8 Jobs: 7 Finished / 0 Running / 1 Failed / 0 in Queue, 0 wrong" || return 1
    "$nsh" reset --failed "$journal" || return 1
    "$farm" --serial --attempts 1 "$journal" 8 "$log" >"$tmp/first" 2>&1
    said first "8 Jobs: 8 Finished / 0 Running / 0 Failed / 0 in Queue, 0 wrong"
} 2>/dev/null

# A job waits for the only task, which another job has; that one is killed. The status line names
# the job that is waited for.
inherits()
{
    local pid waiting code
    "$farm" --serial --hold 1 --until "$tmp/never" "$journal" 1 "$log" >"$tmp/first" 2>&1 &
    pid=$!
    until [ "$(count start $pid)" -ge 1 ]; do kill -0 $pid || return 1; done
    if command -v script >/dev/null; then # a terminal
        script -qec "'$farm' --serial --wait '$journal' 1 '$log'" "$tmp/second" \
            </dev/null >/dev/null 2>&1 &
        waiting=$!
        until grep -q "waits for process $pid on $(hostname)" "$tmp/second"; do
            kill -0 $waiting || { sed 's/^/# /' "$tmp/second"; return 1; }
            sleep 0.02
        done
    else
        "$farm" --serial --wait "$journal" 1 "$log" >"$tmp/second" 2>&1 &
        waiting=$!
        until [ "$(grep -c ^process "$log")" -ge 2 ]; do kill -0 $waiting || return 1; done
    fi
    kill -9 $pid
    wait $waiting
    code=$?
    [ $code -eq 0 ] &&
        grep -q "1 Jobs: 1 Finished / 0 Running / 0 Failed / 0 in Queue, 0 wrong" "$tmp/second"
} 2>/dev/null

# Two jobs that both live: no task twice.
log_once()
{
    [ "$(grep -c '^start' "$log")" -eq "$tasks" ] && [ "$(grep -c '^end' "$log")" -eq "$tasks" ]
}

status_is()
{
    local said
    said=$("$nsh" status "$journal")
    [ "$said" = "$1" ] || { echo "# $said"; return 1; }
}

# Progress on a terminal: one line, redrawn, ended. Somewhere else there is none.
shows_progress()
{
    forget
    script -qec "'$farm' --serial --usec 100 '$journal' 200 '$log'" /dev/null \
        </dev/null >"$tmp/said" 2>&1
    grep -q $'\r200 Jobs: 0 Finished' "$tmp/said" || return 1
    grep -q $'\r200 Jobs: 200 Finished / 0 Running / 0 Failed / 0 in Queue\033\\[K' "$tmp/said" ||
        return 1
    rm -f "$journal"
    "$farm" --serial --usec 100 "$journal" 200 "$log" 2>&1 >/dev/null | grep -q Jobs && return 1
    return 0
}

# A journal in which two bytes are wrong is refused, and its good records are kept in a new one.
salvaged()
{
    local copy=$tmp/copy new=$tmp/new
    cp "$journal" "$copy"
    printf '\377\376' | dd of="$copy" bs=1 seek=2000 conv=notrunc status=none
    fails_with 1 "$nsh" status "$copy" || return 1
    "$nsh" salvage "$copy" "$new" >"$tmp/said" || return 1
    grep -q '^dropped: ' "$tmp/said" && grep -Eq '(2000|1999) Finished' "$tmp/said" || return 1
    fails_with 1 "$nsh" salvage "$copy" "$new"
}

forget
verdict "100 random kills" killed_alone
verdict "what was reported is not run again" log_good 0 # what ran at a kill goes last
verdict "all tasks end, with their results" all_done
verdict "and do not run again" log_good 10

forget
tasks=1000
verdict "ranks killed on one node" killed_ranks 6 one-node
verdict "ranks killed on two nodes" killed_ranks 3 cliques-2
verdict "all tasks end, with their results" all_done
verdict "ranks killed: what was reported is not run again" log_good 3

forget
tasks=2000
verdict "two jobs on one journal" two_jobs 0
verdict "each task once" log_once
verdict "by all four processes" ended_by 4
verdict "each job has seen all of them done" both_said \
    "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue, 0 wrong"
verdict "all done" status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"

forget
verdict "two jobs, one of them killed" two_jobs 1
verdict "what was reported is not run again" log_good 1
verdict "the other has finished its tasks" \
    status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"

verdict "and has seen all of them done" said second \
    "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue, 0 wrong"

forget
verdict "a task that crashes its process goes last, and fails in the end" poisoned
forget
verdict "a job waits for another one and does what that leaves" inherits

forget
tasks=2000
"$farm" --serial --usec 0 "$journal" $tasks "$log" >/dev/null 2>&1
# shellcheck disable=SC2016 # for the inner shell
verdict "status --watch ends when all is done" \
    timeout 20 sh -c '"$0" status "$1" --watch | grep -q "2000 Finished"' "$nsh" "$journal"
verdict "reset --failed: there are none" "$nsh" reset --failed "$journal"
verdict "status is the same" \
    status_is "2000 Jobs: 2000 Finished / 0 Running / 0 Failed / 0 in Queue"
verdict "salvage of a damaged journal" salvaged
verdict "salvage of nothing" fails_with 2 "$nsh" salvage "$journal"
verdict "reset --all" "$nsh" reset --all "$journal"
verdict "all in the queue" status_is "2000 Jobs: 0 Finished / 0 Running / 0 Failed / 2000 in Queue"
verdict "status of no file" fails_with 1 "$nsh" status "$tmp/none"
verdict "status of another file" fails_with 1 "$nsh" status "$nsh"
verdict "reset of another file" fails_with 1 "$nsh" reset --all "$nsh"
verdict "reset of nothing in particular" fails_with 2 "$nsh" reset "$journal"
verdict "status of nothing" fails_with 2 "$nsh" status
if command -v script >/dev/null; then
    verdict "progress on a terminal" shows_progress
fi
echo "1..$n"
