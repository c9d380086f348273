#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_file.sh -- files beyond one process: other programs read and write them, disks are full, jobs
# are killed.
# shellcheck source=mpi_tests/prologue.sh
. "$(dirname "${BASH_SOURCE[0]}")/prologue.sh"
if [ -z "${NSH_HDF5:-}" ]; then
    echo "1..0 # SKIP built without HDF5"
    exit 0
fi
snapshot=$build/mpi_tests/examples/snapshot
heat=$build/mpi_tests/examples/heat

needs()
{
    command -v "$1" >/dev/null && return
    echo "no $1"
    return 77
}

# ---- other programs read what was written -----------------------------------------------------

# h5dump prints every element: 128 x 1024 times the seed.
by_h5dump()
{
    needs h5dump || return
    launch cliques-2 2 "$snapshot" save "$tmp/dump.h5" 2 -77 || return 1
    h5dump -y -w 0 -d /group/second "$tmp/dump.h5" |
        awk '/DATATYPE/ { type = $2 } /DATASPACE/ { shape = $0 }
             { count += gsub(/-77/, "") }
             /[0-9]/ && !/SPACE|TYPE|HDF5|DATASET/ { rest += gsub(/[0-9]/, "") }
             END { print type, shape, count, rest
                   exit !(type == "H5T_STD_I64LE" && shape ~ /\( 128, 1024 \)/ &&
                          count == 131072 && rest == 0) }'
}

by_h5ls()
{
    needs h5ls || return
    h5ls -r "$tmp/dump.h5" >"$tmp/ls" && cat "$tmp/ls" &&
        grep -q '^/first *Dataset {128, 1024}$' "$tmp/ls" &&
        grep -q '^/group/second *Dataset {128, 1024}$' "$tmp/ls"
}

# Debian's package is for Debian's Python, which need not be the first one.
needs_python()
{
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && return
    done
    echo "Python has not $1"
    return 77
}

needs_h5py()
{
    needs_python h5py
}

by_h5py()
{
    needs_h5py || return
    launch rpn-1 3 "$heat" "$tmp/heat.h5" 40 --every 10 || return 1
    "$python" - "$tmp/heat.h5" "$tmp/dump.h5" <<'END'
import sys, h5py, numpy
f = h5py.File(sys.argv[1], 'r')
u = f['u']
assert u.shape == (5, 96, 96) and u.maxshape == (None, 96, 96) and u.dtype == numpy.float64
assert u.attrs['units'] == b'degC', u.attrs['units']
now = u[0]
assert (now[0] == 100).all() and (now[1:, 0] == 60).all() and (now[1:, 1:] == 0).all()
k = numpy.array([0.05 + 0.15 * i / 64 for i in range(64)])
i, j = numpy.meshgrid(numpy.arange(96), numpy.arange(96), indexing='ij')
k = k[(i + j) % 64][1:-1, 1:-1]
for step in range(1, 41):  # the same arithmetic, in the same order
    inner = now[1:-1, 1:-1]
    new = now.copy()
    around = ((now[:-2, 1:-1] + now[2:, 1:-1]) + now[1:-1, :-2]) + now[1:-1, 2:]
    new[1:-1, 1:-1] = inner + k * (around - 4 * inner)
    now = new
    if step % 10 == 0:
        assert numpy.abs(u[step // 10] - now).max() < 1e-11
assert (h5py.File(sys.argv[2], 'r')['group/second'][:] == -77).all()
END
}

# netCDF knows the dimensions of heat's series by name, and that the first one grows.
by_ncdump()
{
    needs ncdump || return
    launch one-node 2 "$heat" "$tmp/nc.h5" 20 || return 1
    ncdump -h "$tmp/nc.h5" >"$tmp/nc" && cat "$tmp/nc" &&
        grep -q 'step = UNLIMITED ; // (3 currently)' "$tmp/nc" &&
        grep -q 'double u(step, row, column) ;' "$tmp/nc" &&
        grep -q 'u:units = "degC" ;' "$tmp/nc" &&
        [ "$(ncdump -v step "$tmp/nc.h5" | grep '^ step = ')" = " step = 0, 10, 20 ;" ]
}

# All that labels.c has written opens and shows the right values; netCDF can append to it.
by_netcdf()
{
    needs_python "h5py, netCDF4, xarray" || return
    launch cliques-2 2 "$build/mpi_tests/examples/labels" "$tmp/labels.nc" || return 1
    ncdump "$tmp/labels.nc" >"$tmp/nc" || return 1
    grep -q '^ level = 10, 20, 30, 40, 50 ;$' "$tmp/nc" || return 1
    "$python" -W ignore - "$tmp/labels.nc" <<'END'
import sys, shutil, h5py, netCDF4, numpy, xarray
path = sys.argv[1]
n = numpy.arange(125.)
def see(path):
    d = netCDF4.Dataset(path)
    d.set_auto_mask(False)
    names = {k: v.dimensions for k, v in d.variables.items()}
    assert names == {'flag': ('lat',), 'wave': ('lat',), 'air': ('time', 'lat', 'lon'),
                     'energy': ('time',), 'cube': ('cube_dim0', 'level', 'cube_dim2'),
                     'lat': ('lat',), 'lon': ('lon',), 'level': ('level',),
                     'time': ('time',)}, names
    assert d['group/cube'].dimensions == ('z', 'cube_dim1', 'cube_dim2')
    assert d.dimensions['time'].isunlimited() and len(d.dimensions['time']) == 4
    assert not d.dimensions['lat'].isunlimited()
    assert (d['air'][:] == n[:60].reshape(4, 3, 5)).all()
    assert (d['time'][:] == [0, .5, 1, 1.5]).all()
    assert (d['lat'][:] == n[:3]).all() and (d['lon'][:] == n[7:12]).all()
    assert (d['level'][:] == [10, 20, 30, 40, 50]).all()
    assert (d['cube'][:] == n.reshape(5, 5, 5)).all()
    assert (d['group/cube'][:] == n.reshape(5, 5, 5)).all()
    assert (d['energy'][:2] == n[:2]).all(), d['energy'][:]
    assert (d['flag'][:] == [1, 0, 1]).all()
    assert d['flag'].datatype.enum_dict == {'FALSE': 0, 'TRUE': 1}
    assert d['wave'][:].view('c16').tolist() == [1+2j, 3, -4j]
    assert d['time'].units == 's' and d['lat'].units == 'degree'
    assert d['level'].units == 'hPa' and d['air'].units == 'K'
    assert d['air'].count == -7 and d['air'].count.dtype == numpy.int32
    assert (d['air'].real == [0.25, -999]).all() and d['air'].real.dtype == numpy.float32
    assert d.namelist == 'y' * 100000 and d.title == 'labels'
    d.close()
see(path)
shutil.copy(path, path + '.2')
d = netCDF4.Dataset(path + '.2', 'a'); d.history = 'h'; d['air'][4] = 7; d['time'][4] = 2; d.close()
d = netCDF4.Dataset(path + '.2')
assert d['air'].shape == (5, 3, 5)
assert (d['air'][4] == 7).all() and (d['air'][3] == n[45:60].reshape(3, 5)).all()
d.close()
x = xarray.open_dataset(path)
assert dict(x.sizes) == {'lat': 3, 'time': 4, 'lon': 5, 'cube_dim0': 5, 'level': 5,
                         'cube_dim2': 5}, x.sizes
assert sorted(x.coords) == ['lat', 'level', 'lon', 'time'], x.coords
assert (x.air.sel(lat=2, lon=8) == n[:60].reshape(4, 3, 5)[:, 2, 1]).all()
assert (x.energy.values[:2] == [0, 1]).all()
assert (x.flag.values == [1, 0, 1]).all()
x.drop_vars('wave').to_netcdf(path + '.3')
assert xarray.open_dataset(path + '.3').equals(x.drop_vars('wave'))
g = xarray.open_dataset(path, group='group')
assert g.cube.dims == ('z', 'cube_dim1', 'cube_dim2')
f = h5py.File(path)
assert f['flag'][:].tolist() == [True, False, True]
assert f['wave'][:].tolist() == [1+2j, 3, -4j]
assert [dim.label for dim in f['air'].dims] == ['time', 'lat', 'lon']
assert f['air'].dims[1][0][:].tolist() == [0, 1, 2]
assert f['energy'].shape == (2,) and f['air'].shape == (4, 3, 5)
assert f.attrs['namelist'] == 'y' * 100000
END
}

# ---- the library reads what others wrote ------------------------------------------------------

# nsh info sees it; snapshot check loads it and compares every element.
from_h5py()
{
    needs_h5py || return
    "$python" - "$tmp/py.h5" <<'END' || return 1
import sys, h5py, numpy
f = h5py.File(sys.argv[1], 'w')
x = numpy.full((300, 200), 4711)
f.create_dataset('first', data=x.astype('>i4').astype('>i8'), dtype='>i8', chunks=(17, 33),
                 compression='gzip')
f.create_dataset('group/second', data=x, dtype='<i8', chunks=True, shuffle=True, fletcher32=True)
END
    launch cliques-2 3 "$snapshot" check "$tmp/py.h5" >"$tmp/said" 2>&1
    cat "$tmp/said"
    grep -qx 'whole 4711' "$tmp/said"
}

from_ncgen()
{
    needs ncgen || return
    {
        echo 'netcdf n { dimensions: x = 3; t = UNLIMITED; variables: int64 first(t, x);'
        echo 'first:units = "K"; data: first = 5, 5, 5, 5, 5, 5;'
        echo 'group: group { variables: int64 second(x); data: second = 5, 5, 5; } }'
    } >"$tmp/n.cdl"
    ncgen -k nc4 -o "$tmp/n.nc" "$tmp/n.cdl" || return 1
    launch one-node 2 "$snapshot" check "$tmp/n.nc" >"$tmp/said" 2>&1
    cat "$tmp/said"
    grep -qx 'whole 5' "$tmp/said"
}

# ---- full disks, killed jobs ------------------------------------------------------------------

# The old snapshot stays on a tmpfs of 32 MB that the new one does not fit on, and nothing else
# does.
full_disk()
{
    needs mount || return
    unshare -m true 2>/dev/null || { echo "no permission for a mount namespace"; return 77; }
    mkdir -p "$tmp/disk"
    # shellcheck disable=SC2016 # for the inner shell
    unshare -m --propagation private bash -c '
        mount -t tmpfs -o size=32m tmpfs "$3" || exit 77
        "$1" "$4" 2 "$2" save "$3/s.h5" 8 1 || exit 1
        "$1" "$4" 2 "$2" save "$3/s.h5" 40 2 && exit 1
        "$1" "$4" 2 "$2" save "$3/s.h5" 25 3 && exit 1
        "$1" "$4" 2 "$2" check "$3/s.h5" || exit 1
        ls "$3"
        [ "$(ls "$3")" = s.h5 ] && "$1" "$4" 2 "$2" save "$3/s.h5" 12 4 &&
            "$1" one-node 1 "$2" check "$3/s.h5"
    ' bash "$here/scripts/launch" "$snapshot" "$tmp/disk" "$1" >"$tmp/said" 2>&1
    local code=$?
    cat "$tmp/said"
    [ $code -eq 0 ] && [ "$(grep -c 'No space left' "$tmp/said")" -eq 2 ] &&
        grep -qx 'whole 1' "$tmp/said" && grep -qx 'whole 4' "$tmp/said"
}

# HDF5's own writes fail on a tmpfs of 1 MB, some of them when it closes the file.
full_of_metadata()
{
    needs mount || return
    unshare -m true 2>/dev/null || { echo "no permission for a mount namespace"; return 77; }
    mkdir -p "$tmp/small"
    # shellcheck disable=SC2016 # for the inner shell
    unshare -m --propagation private bash -c '
        mount -t tmpfs -o size=1m tmpfs "$3" || exit 77
        NSH_TEST_RANKS=2 NSH_TEST_DIR=$3 "$1" one-node 2 "$2" full
    ' bash "$here/scripts/launch" "$build/mpi_tests/test_file_errors" "$tmp/small" >"$tmp/said" 2>&1
    local code=$?
    cat "$tmp/said"
    return $code
}

# Processes with this mark in their environment; mpiexec's helpers have it too.
marked()
{
    grep -slz "^NSH_TEST_KILL=$1\$" /proc/[0-9]*/environ | cut -d / -f 3
}

# kill_marked MARK JOB: also a job that has just begun
kill_marked()
{
    local pids
    while pids=$(marked "$1"); [ -n "$pids" ] || kill -0 "$2" 2>/dev/null; do
        # shellcheck disable=SC2086 # a list
        [ -z "$pids" ] || kill -9 $pids 2>/dev/null
    done
}

saves()
{
    grep -c '^saved ' "$tmp/loop"
}

working_copy()
{
    compgen -G "$tmp/k.h5.tmp-*" >/dev/null
}

# catch_saving MARK JOB: stop the ranks at a moment at which they have a working copy. A job that
# has just begun has no process with the mark yet.
catch_saving()
{
    local pids
    while :; do
        pids=$(marked "$1")
        [ -n "$pids" ] || kill -0 "$2" 2>/dev/null || return 1
        if [ -n "$pids" ] && working_copy; then
            # shellcheck disable=SC2086 # a list
            kill -STOP $pids 2>/dev/null
            working_copy && return
            # shellcheck disable=SC2086
            kill -CONT $pids 2>/dev/null
        fi
        sleep 0.01
    done
}

# until_moment I MARK JOB: wait for the moment of the I-th kill: some at any moment, some after a
# number of saves, some in a save that is surely unfinished.
until_moment()
{
    local wanted=$((1 + RANDOM % 3))
    case $(($1 % 4)) in
    0) ;;
    1)
        catch_saving "$2" "$3"
        return
        ;;
    *)
        until [ "$(saves)" -ge $wanted ]; do
            kill -0 "$3" 2>/dev/null || return 1
            sleep 0.01
        done
        ;;
    esac
    sleep "$(awk -v r=$RANDOM 'BEGIN { printf "%.4f", 0.1 * r / 32768 }')"
}

# Killed at any moment of saving over an old snapshot, the file is the old or the new one, whole.
killed()
{
    local times=$1 mib=$2 i seed=1 whole saved first=0 left=0 mark
    for ((i = 1; i <= times; i++)); do
        mark=$$-$i-$RANDOM
        NSH_TEST_KILL=$mark "$here/scripts/launch" cliques-2 2 \
            "$snapshot" loop "$tmp/k.h5" "$mib" "$seed" >"$tmp/loop" 2>&1 </dev/null &
        if ! until_moment $i "$mark" $!; then
            cat "$tmp/loop"
            echo "kill $i: it ended by itself"
            return 1
        fi
        kill_marked "$mark" $!
        wait $! 2>/dev/null
        saved=$(sed -n 's/^saved //p' "$tmp/loop" | tail -n 1)
        working_copy && left=$((left + 1))
        if [ ! -e "$tmp/k.h5" ]; then
            first=$((first + 1))
            [ -z "$saved" ] && [ "$seed" -eq 1 ] && continue
            echo "kill $i: no file, but saved $saved"
            return 1
        fi
        whole=$("$snapshot" check "$tmp/k.h5" 2>&1 | sed -n 's/^whole //p')
        # the one that was reported, or the next, which was renamed and not yet reported
        if [ -z "$whole" ] || [ "$whole" -lt "${saved:-$whole}" ] ||
            [ "$whole" -gt $((${saved:-$((seed - 1))} + 1)) ]; then
            echo "kill $i: began with $seed, saved ${saved:-none}, whole ${whole:-none}"
            return 1
        fi
        seed=$((whole + 1))
    done
    "$snapshot" save "$tmp/k.h5" 1 1000000 || return 1
    echo "$times kills, $seed snapshots, $first before the first, $left left a working copy behind"
    # It was worth it: something was left behind, and the next save has removed it all.
    [ "$left" -gt 0 ] && ! working_copy
}

# ---- the example ------------------------------------------------------------------------------

continued()
{
    launch one-node 2 "$heat" "$tmp/whole.h5" 200 || return 1
    launch cliques-2 3 "$heat" "$tmp/parts.h5" 200 --die-at 105 # dies
    launch odd-even 3 "$heat" "$tmp/parts.h5" 200 --die-at 155 ||
        launch rpn-2 3 "$heat" "$tmp/parts.h5" 200 --die-at 155
    launch one-node 4 "$heat" "$tmp/parts.h5" 200 >"$tmp/said" || return 1
    cat "$tmp/said"
    grep -q '^going on after frame 1[0-9]*$' "$tmp/said" || return 1
    launch one-node 1 "$heat" --same "$tmp/whole.h5" "$tmp/parts.h5" >"$tmp/said" || return 1
    cat "$tmp/said"
    [ "$(cat "$tmp/said")" = "21 frames, the same bit by bit" ]
}

# A file whose "u" are other frames than heat's is left as it is.
other_frames()
{
    local shape type
    needs_h5py || return
    for shape in 50,50:f8:"not a series" 96,96:c16:"elements of complex128, not float64"; do
        type=${shape#*:}
        "$python" -c 'import sys, h5py, numpy
shape = (2,) + tuple(int(n) for n in sys.argv[2].split(","))
f = h5py.File(sys.argv[1], "w")
f.create_dataset("u", data=numpy.ones(shape, sys.argv[3]), maxshape=(None,) + shape[1:])' \
            "$tmp/other.h5" "${shape%%:*}" "${type%%:*}" || return 1
        cp "$tmp/other.h5" "$tmp/was.h5"
        for _ in 1 2 3; do # MPI_Abort may lose what was printed before it
            launch one-node 2 "$heat" "$tmp/other.h5" 40 >"$tmp/said" 2>&1 && return 1
            grep -q '^heat: ' "$tmp/said" && break
        done
        cat "$tmp/said"
        grep -q "${type#*:}" "$tmp/said" && cmp "$tmp/other.h5" "$tmp/was.h5" || return 1
    done
}

# The allocator keeps nothing for the next one who asks, and freed memory is overwritten.
freed()
{
    local -x GLIBC_TUNABLES=glibc.malloc.tcache_count=0 MALLOC_PERTURB_=165
    launch one-node 2 "$snapshot" save "$tmp/freed.h5" 1 7 &&
        launch one-node 2 "$snapshot" check "$tmp/freed.h5"
}

# HDF5 1.10 does not know the variable; later ones do not find the connector and cannot begin.
unknown_connector()
{
    if HDF5_VOL_CONNECTOR=nonsense launch one-node 2 "$snapshot" save "$tmp/vol.h5" 1 7; then
        launch one-node 2 "$snapshot" check "$tmp/vol.h5"
    else
        grep -q 'UNSUPPORTED.*HDF5 cannot begin' "$tmp/out" && [ ! -e "$tmp/vol.h5" ]
    fi
}

verdict "h5dump sees every element" by_h5dump
verdict "h5ls sees names and extents" by_h5ls
verdict "h5py sees the frames of heat, which NumPy computes too" by_h5py
verdict "ncdump sees dimensions, coordinates and units" by_ncdump
verdict "netCDF4, xarray and h5py see labels, coordinates, attributes and types" by_netcdf
verdict "load reads h5py's chunks, gzip and big-endian integers" from_h5py
verdict "load reads ncgen's netCDF-4" from_ncgen
verdict "a full disk, one node" full_disk one-node
verdict "a full disk, two nodes" full_disk cliques-2
verdict "a disk that is full of metadata" full_of_metadata
verdict "heat goes on where it was killed, bit by bit" continued
verdict "heat does not go on with frames of another shape or type" other_frames
verdict "nothing of HDF5's is used that has been freed" freed
verdict "HDF5 is told of a connector that does not exist" unknown_connector
kills=${NSH_TEST_KILLS:-$([ "${NSH_TEST_QUICK:-0}" = 1 ] && echo 24 || echo 100)}
verdict "killed at $kills moments of saving 64 MiB" killed "$kills" 64
echo "1..$n"
