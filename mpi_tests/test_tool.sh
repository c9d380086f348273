#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_tool.sh -- the nsh command says what it should, in the form it should.
# shellcheck source=mpi_tests/prologue.sh
. "$(dirname "${BASH_SOURCE[0]}")/prologue.sh"
nsh=$build/nsh

topo()
{
    local out hdf5=none
    [ -z "${NSH_HDF5:-}" ] || hdf5='[1-9][0-9.]*'
    out=$("$here/scripts/launch" rpn-2 4 "$nsh" topo 2>&1 </dev/null) || return 1
    [[ $out == *"4 ranks on 2 nodes (2 2), leaders 0 2"* ]] &&
        [[ $out == *WARNING* && $out == *heap* ]] && grep -q "^hdf5      $hdf5\$" <<<"$out"
}

# On standard output, where no MPI writes warnings. Every row: case,ranks,nodes,ours,baseline,unit,
# ratio, and the ratio is baseline / ours.
csv()
{
    "$here/scripts/launch" one-node 2 "$nsh" bench sync set --csv --reps 3 --max-bytes 1048576 \
        2>"$tmp/stderr" </dev/null |
        awk -F, 'NR == 1 { if ($0 != "case,ranks,nodes,ours,baseline,unit,ratio") bad = 1; next }
            NF != 7 { bad = 1; print "# " $0; next }
            $2 != 2 || $3 != 1 || $4 <= 0 { bad = 1; print "# " $0 }
            { r = $5 / $4 }
            $7 < r * 0.99 - 0.01 || $7 > r * 1.01 + 0.01 { bad = 1; print "# " $0 }
            END { exit bad || NR < 10 }' || { sed 's/^/# /' "$tmp/stderr"; return 1; }
}

# A line for each dataset of a file, more with -v; what is no file is said.
info()
{
    local heat=$build/mpi_tests/examples/heat out code=0 file extents
    [ -n "${NSH_HDF5:-}" ] || { fails_with 1 "$nsh" info nothing; return; }
    file=$(mktemp -d)/f.h5
    "$here/scripts/launch" one-node 2 "$heat" "$file" 20 >/dev/null 2>&1 </dev/null || code=1
    out=$("$nsh" info "$file")
    extents='\[3 x 96 x 96\] growing, chunks \[1 x 96 x 96\], 221184 bytes'
    grep -q "^u  float64 $extents, attributes.* units$" <<<"$out" || code=1
    grep -q "^step  int64 \[3\] growing" <<<"$out" || code=1
    [[ $("$nsh" info "$file" -v) == *"221184 in memory"*$'\n'"    units = degC"* ]] || code=1
    [ $code -eq 0 ] || echo "# ${out//$'\n'/$'\n'# }"
    fails_with 1 "$nsh" info "$file.not" || code=1
    fails_with 2 "$nsh" info && fails_with 2 "$nsh" info a b || code=1
    rm -r "${file%/*}"
    return $code
}

verdict "version" grep -q "^nsh [0-9.]*$" <("$nsh" --version)
verdict "help" grep -q "^usage" <("$nsh" --help)
verdict "an unknown command" fails_with 2 "$nsh" nonsense
verdict "an unknown benchmark" fails_with 2 "$here/scripts/launch" one-node 1 "$nsh" bench nonsense
verdict "topo" topo
verdict "info" info
verdict "bench --csv" csv
echo "1..$n"
