# pictures.gp -- the CSV files of this directory as SVG: gnuplot pictures.gp
#
# The colours are of middle brightness, without a background: readable on white and on black.
set terminal svg size 880,380 dynamic font "sans-serif,13" linewidth 1.5
set encoding utf8
grey = "#7d8590"
set border 3 lc rgb grey
set tics nomirror textcolor rgb grey
set grid lc rgb grey lw 0.3
set key top left textcolor rgb grey reverse Left samplen 2 noopaque
set title textcolor rgb grey
set xlabel textcolor rgb grey
set ylabel textcolor rgb grey
set style data linespoints
set style line 1 lc rgb "#2f81f7" lw 2.5 pt 7 ps 0.6   # nodeshare
set style line 2 lc rgb "#e0823d" lw 1.5 pt 5 ps 0.6   # what a program does without it
set style line 3 lc rgb "#3fa45b" lw 1.5 pt 9 ps 0.7
set style line 4 lc rgb "#b573c8" lw 1.5 pt 13 ps 0.7

# The rows of a subject with that layout (and ranks; 0: all), X and the two times. X is the number
# in the case: bytes of "8KiB", MiB of a file, tasks of "1e4".
rows(subject, layout, ranks, case) = sprintf("< awk -F, -v layout='%s' -v ranks=%d -v like='^%s$' \
    'function number(word) { \
         if (word ~ /KiB$/) return word * 1024; if (word ~ /MiB$/) return word * 1048576; \
         return word + 0 } \
     $1 == layout && (!ranks || $3 == ranks) && $2 ~ like { \
         match($2, /[0-9][0-9.e]*([KM]i)?B?/); \
         print number(substr($2, RSTART, RLENGTH)), $3, $5, $6 }' %s.csv", \
    layout, ranks, case, subject)

# Has the subject rows of two nodes?
nodes(subject) = int(system(sprintf("grep -c '^cliques-2' %s.csv || true", subject)))

# ---- set by size ---------------------------------------------------------------------------------

set output "set.svg"
set multiplot layout 1,(nodes("set") ? 2 : 1)
set logscale xy
set xlabel "bytes"
set ylabel "milliseconds"
set format x "10^{%L}"
set format y "10^{%L}"
set title "set, one node of 2 ranks"
plot rows("set", "one-node", 2, "set-.*-vs-MPI_Bcast") using 1:3 ls 1 title "nodeshare", \
     rows("set", "one-node", 2, "set-.*-vs-MPI_Bcast") using 1:4 ls 2 \
         title "MPI\\_Bcast, a copy per rank", \
     rows("set", "one-node", 2, "set-.*-vs-memcpy") using 1:4 ls 3 title "memcpy"
if (nodes("set")) {
    set title "set, two nodes of 1 rank"
    plot rows("set", "cliques-2", 2, "set-.*-vs-MPI_Bcast") using 1:3 ls 1 title "nodeshare", \
         rows("set", "cliques-2", 2, "set-.*-vs-MPI_Bcast") using 1:4 ls 2 \
             title "MPI\\_Bcast, a copy per rank"
}
unset multiplot

# ---- hand-off of the mutex by ranks --------------------------------------------------------------

set output "mutex.svg"
set multiplot layout 1,(nodes("mutex") ? 2 : 1)
set xlabel "ranks that all want the lock (2 cores)"
set ylabel "microseconds per acquisition"
set format x "%g"
set xrange [1.7:9.5]
set xtics (2, 4, 8)
set yrange [0.01:1e8]
set title "mutex, one node"
plot rows("mutex", "one-node", 0, "mutex-contended-vs-MCS over MPI") using 2:3 ls 1 \
         title "nodeshare", \
     rows("mutex", "one-node", 0, "mutex-contended-vs-MCS over MPI") using 2:4 ls 2 \
         title "queue lock over MPI", \
     rows("mutex", "one-node", 0, "mutex-contended-vs-MPI_Win_lock") using 2:4 ls 3 \
         title "MPI\\_Win\\_lock", \
     rows("mutex", "one-node", 0, "mutex-contended-vs-pthread_mutex") using 2:4 ls 4 \
         title "pthread\\_mutex (not fair)"
if (nodes("mutex")) {
    set title "mutex, two nodes"
    plot rows("mutex", "cliques-2", 0, "mutex-contended-vs-MCS over MPI") using 2:3 ls 1 \
             title "nodeshare", \
         rows("mutex", "cliques-2", 0, "mutex-contended-vs-MCS over MPI") using 2:4 ls 2 \
             title "queue lock over MPI", \
         rows("mutex", "cliques-2", 0, "mutex-contended-vs-MPI_Win_lock") using 2:4 ls 3 \
             title "MPI\\_Win\\_lock (not fair)"
}
unset multiplot

# ---- claims by tasks -----------------------------------------------------------------------------

# The cost of 10^3 tasks is the baseline of the row that compares more of them with it.
claims(layout) = sprintf("< awk -F, -v layout='%s' \
    '$1 != layout || $3 != 2 { next } \
     $2 ~ /^batch-1e[0-9]-tasks-vs-1e3/ { print 1000, $6 } \
     $2 ~ /^batch-1e[0-9]-/ { print substr($2, 7, 3), $5 }' batch.csv | sort -g", layout)
tables(layout) = sprintf("< awk -F, '$1 == \"%s\" && $3 == 2 && $2 ~ /locked-table/ { \
    print 1e3, $6; print 1e7, $6 }' batch.csv", layout)

set output "batch.svg"
set multiplot layout 1,2
set xrange [700:1.4e7]
set xtics auto
set format x "10^{%L}"
set xlabel "tasks"
set ylabel "microseconds to take and end one"
set yrange [0.01:100]
set title "batch of empty tasks, one node of 2 ranks"
plot claims("one-node") ls 1 title "nodeshare", \
     tables("one-node") with lines ls 2 title "a table under MPI\\_Win\\_lock"
set title "batch of empty tasks, two nodes of 1 rank"
plot claims("cliques-2") ls 1 title "nodeshare", \
     tables("cliques-2") with lines ls 2 title "a table under MPI\\_Win\\_lock"
unset multiplot

# ---- save by size --------------------------------------------------------------------------------

set output "file.svg"
set key bottom right
set multiplot layout 1,2
set autoscale
set xlabel "bytes"
set ylabel "milliseconds"
set format y "%g"
set title "save, one node of 2 ranks"
plot rows("file", "one-node", 2, "save-.*-vs-write-fsync-rename") using 1:3 ls 1 \
         title "nodeshare (HDF5)", \
     rows("file", "one-node", 2, "save-.*-vs-write-fsync-rename") using 1:4 ls 2 \
         title "write, fsync, rename"
set title "restore from page cache, one node of 2 ranks"
plot rows("file", "one-node", 2, "restore-.*-vs-read") using 1:3 ls 1 title "nodeshare (HDF5)", \
     rows("file", "one-node", 2, "restore-.*-vs-read") using 1:4 ls 2 title "read"
unset multiplot
