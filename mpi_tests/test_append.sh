#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_append.sh -- what examples/append_log writes under the mutex is whole, on one node and
# several; and scripts/check-log, which says so, reports each kind of damage.
# shellcheck source=mpi_tests/prologue.sh
. "$(dirname "${BASH_SOURCE[0]}")/prologue.sh"
append=$build/mpi_tests/examples/append_log
check=$here/scripts/check-log
file=$(mktemp "$build/append.XXXXXX") # hosts have a /dev/shm each, but share this
trap 'rm -rf "$tmp" "$file"' EXIT

# shown COMMAND...: the command leaves what it saw in $tmp/said
shown()
{
    local code
    "$@"
    code=$?
    cat "$tmp/said"
    return $code
}

# ---- the file --------------------------------------------------------------------------------

reported()
{
    [ "$(grep -c '^rank [0-3]: ' "$tmp/said")" -eq 4 ]
}

# run LAYOUT ARGUMENT...: append_log on 4 ranks. On TCP hosts the report decides, not the exit code,
# and nobody waits for what comes after it: MPI_Finalize may hang there (see check.c).
run()
{
    local layout=$1 pid code
    shift
    : >"$tmp/said" # no report of another run
    timeout -k 5 60 "$here/scripts/launch" "$layout" 4 "$append" "$@" >"$tmp/said" 2>&1 </dev/null &
    pid=$!
    if [[ $layout == hosts-* ]]; then
        while kill -0 $pid 2>/dev/null && ! reported; do
            sleep 0.1
        done
        kill $pid 2>/dev/null
    fi
    wait $pid 2>/dev/null
    code=$?
    [[ $layout == hosts-* ]] && reported && code=0
    return $code
}

# whole LAYOUT RECORDS ORDER: a fresh file of 4 ranks passes the checker
whole()
{
    local layout=$1 records=$2 order=$3 code
    rm -f "$file"
    run "$layout" --records "$records" --order "$order" "$file"
    code=$?
    [ $code -ne 77 ] || return 77
    "$check" "$file" 4 "$records" >>"$tmp/said" 2>&1 && [ $code -eq 0 ] &&
        [ "$(tail -n 1 "$tmp/said")" = "$((4 * records)) records, 0 torn, 0 lost, 0 twice" ] &&
        [ "$(grep -c "^rank [0-3]: $records acquisitions" "$tmp/said")" -eq 4 ]
}

# A rank that cannot write says so and gives the mutex back: all come to an end, soon.
full_device()
{
    run one-node --records 10 /dev/full
    [ $? -eq 1 ] && [ "$(grep -c '^append_log: rank [0-3]: /dev/full' "$tmp/said")" -eq 4 ] &&
        [ "$(grep -c '^rank [0-3]: 1 acquisitions' "$tmp/said")" -eq 4 ]
}

wrong_usage()
{
    run one-node --order lifo "$file"
    [ $? -eq 1 ] && grep -q '^usage' "$tmp/said"
}

# ---- the checker -----------------------------------------------------------------------------

# A small file that append_log has no part in; the sums are those of another program.
good_file()
{
    printf '%s\n' 'record 0 0 1' '0 0 0 a' 'end 0 0 1791080461' 'record 1 0 2' '1 0 0 b' '1 0 1 ' \
        'end 1 0 2037447688'
}

# check_says WHAT COMMAND...: of the good file gone through the command. It has 2 ranks, each of
# them a record
check_says()
{
    local what=$1 code expected=1
    shift
    [ "$what" != "$good" ] || expected=0
    good_file | "$@" >"$tmp/damaged"
    "$check" "$tmp/damaged" 2 1 >"$tmp/said" 2>&1
    code=$?
    [ "$(cat "$tmp/said")" = "$what" ] && [ $code -eq $expected ]
}

any_byte_changed()
{
    local text i byte
    text=$(good_file && echo .)
    text=${text%.}
    for ((i = 0; i < ${#text}; i++)); do
        printf -v byte '%d' "'${text:i:1}"
        printf -v byte '\\x%02x' $((byte ^ 1))
        printf "%s$byte%s" "${text:0:i}" "${text:i+1}" >"$tmp/damaged"
        "$check" "$tmp/damaged" 2 1 >"$tmp/said" 2>&1
        if [ $? -ne 1 ]; then
            echo "byte $i" >>"$tmp/said"
            return 1
        fi
    done
    [ "$i" -gt 80 ]
}

any_line_removed()
{
    local i
    for i in 1 2 3 4 5 6 7; do
        check_says '1 records, 1 torn, 1 lost, 0 twice' sed "${i}d" || return 1
    done
}

# strangers RANKS RECORDS WHAT: of the good file, when there should be fewer ranks or records
strangers()
{
    good_file >"$tmp/damaged"
    "$check" "$tmp/damaged" "$1" "$2" >"$tmp/said" 2>&1
    [ $? -eq 1 ] && [ "$(cat "$tmp/said")" = "$3" ]
}

# Of standard input the lines with these numbers, in this order.
lines()
{
    local i all
    mapfile -t all
    for i in "$@"; do
        printf '%s\n' "${all[i - 1]}"
    done
}

good='2 records, 0 torn, 0 lost, 0 twice'
while IFS='|' read -r name what command; do
    read -ra words <<<"$command"
    verdict "check-log: $name" shown check_says "$what" "${words[@]}"
done <<'END'
a good file|2 records, 0 torn, 0 lost, 0 twice|cat
its records the other way round|2 records, 0 torn, 0 lost, 0 twice|lines 4 5 6 7 1 2 3
nothing|0 records, 0 torn, 2 lost, 0 twice|lines
a record missing|1 records, 0 torn, 1 lost, 0 twice|lines 4 5 6 7
a record twice|2 records, 0 torn, 0 lost, 1 twice|lines 1 2 3 4 5 6 7 1 2 3
a line twice|1 records, 1 torn, 1 lost, 0 twice|lines 1 2 3 4 5 5 6 7
two lines exchanged|1 records, 1 torn, 1 lost, 0 twice|lines 1 2 3 4 6 5 7
two records interleaved|0 records, 2 torn, 2 lost, 0 twice|lines 1 4 2 5 3 6 7
a record inside another|1 records, 2 torn, 1 lost, 0 twice|lines 4 5 1 2 3 6 7
a line of no record|2 records, 1 torn, 0 lost, 0 twice|lines 1 2 3 2 4 5 6 7
the last record without its end|1 records, 1 torn, 1 lost, 0 twice|lines 1 2 3 4 5 6
the last byte missing|2 records, 1 torn, 0 lost, 0 twice|head -c -1
END
verdict "check-log: a rank too many" shown strangers 1 1 '1 records, 1 torn, 0 lost, 0 twice'
verdict "check-log: records too many" shown strangers 2 0 '0 records, 1 torn, 0 lost, 0 twice'
verdict "check-log: any one line removed" shown any_line_removed
verdict "check-log: any one byte changed" shown any_byte_changed

for order in fifo cohort; do
    verdict "one-node, $order: 4000 records are whole" shown whole one-node 1000 $order
    verdict "cliques-2, $order: 600 records are whole" shown whole cliques-2 150 $order
    verdict "hosts-2, $order: 100 records are whole" shown whole hosts-2 25 $order
done
verdict "a full device" shown full_device
verdict "an unknown order" shown wrong_usage
echo "1..$n"
