/* SPDX-License-Identifier: BSD-3-Clause */
/* heat.c -- the heat equation on a plate, as a series of frames in a file; it goes on where it was.
 *
 *     heat FILE STEPS [--every N] [--die-at STEP]    run up to STEPS; frames after every N steps
 *     heat --same FILE FILE                          have they the same frames, bit by bit?
 *     heat --last FILE                               the last frame as text
 *
 * Each rank has a block of rows. The conductivity of the plate is a table that all ranks read: a
 * replicated array. Every rank appends its rows of a frame; the file is committed at every fourth
 * frame, so that a run that dies loses at most those since. --die-at: rank 0 kills itself there. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

enum { ROWS = 96, COLUMNS = 96, LEVELS = 64, COMMIT = 4 };

static int rank, size;

static void must(int code, const char *what)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "heat: rank %d: %s: %s\n", rank, what, nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* This rank's rows, with one more on each side. */
typedef struct block {
    int64_t first, rows;
    double *now, *next;
} block;

static double *row(double *u, int64_t i)
{
    return u + (i + 1) * COLUMNS;
}

static void exchange(const block *b)
{
    int up = rank > 0 ? rank - 1 : MPI_PROC_NULL, down = rank < size - 1 ? rank + 1 : MPI_PROC_NULL;

    MPI_Sendrecv(row(b->now, 0), COLUMNS, MPI_DOUBLE, up, 0, row(b->now, b->rows), COLUMNS,
                 MPI_DOUBLE, down, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(row(b->now, b->rows - 1), COLUMNS, MPI_DOUBLE, down, 1, row(b->now, -1), COLUMNS,
                 MPI_DOUBLE, up, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void step(block *b, const double *conductivity)
{
    double *swap = b->now;

    exchange(b);
    for (int64_t i = 0; i < b->rows; i++) {
        const double *above = row(b->now, i - 1), *here = row(b->now, i),
                     *below = row(b->now, i + 1);
        double *out = row(b->next, i);
        int64_t global = b->first + i;

        for (int j = 0; j < COLUMNS; j++) {
            double k = conductivity[(global + j) % LEVELS];

            if (global == 0 || global == ROWS - 1 || j == 0 || j == COLUMNS - 1)
                out[j] = here[j]; /* the rim keeps its temperature */
            else
                out[j] =
                    here[j] + k * (above[j] + below[j] + here[j - 1] + here[j + 1] - 4 * here[j]);
        }
    }
    b->now = b->next;
    b->next = swap;
}

/* Hot along two sides. */
static void begin(block *b)
{
    for (int64_t i = 0; i < b->rows; i++)
        for (int j = 0; j < COLUMNS; j++)
            row(b->now, i)[j] = b->first + i == 0 ? 100.0 : j == 0 ? 60.0 : 0.0;
}

/* Units and dimensions, as netCDF tools know them. The dataset "step" becomes the coordinates of
 * the frames, and grows with them. */
static void label(nsh_file *file)
{
    must(nsh_file_set_attr(file, "u", "units", NSH_ATTR_TEXT, -1, "degC"), "units");
    must(nsh_file_set_dim(file, "u", 0, "step", "1", NULL), "dimension");
    must(nsh_file_set_dim(file, "u", 1, "row", NULL, NULL), "dimension");
    must(nsh_file_set_dim(file, "u", 2, "column", NULL, NULL), "dimension");
}

/* A frame, and the number of its step. */
static void append(nsh_file *file, const block *b, int64_t at)
{
    const int64_t extent[] = {ROWS, COLUMNS}, offset[] = {b->first, 0};
    const int64_t count[] = {b->rows, COLUMNS};

    must(nsh_file_append_hyperslab(file, "u", MPI_DOUBLE, 2, extent, row(b->now, 0), offset, count),
         "append");
    must(nsh_file_append_hyperslab(file, "step", MPI_INT64_T, 0, NULL, &at, NULL, NULL), "append");
    if (at == 0)
        label(file);
}

/* Frames that are in the file; this rank's rows of the last one. A file with frames of another
 * plate is not gone on with. */
static int64_t resume(nsh_file *file, const block *b)
{
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    int64_t offset[] = {0, b->first, 0};
    const int64_t count[] = {1, b->rows, COLUMNS};
    int rc = nsh_file_info(file, "u", &info);

    if (rc == NSH_ERR_NOT_FOUND)
        return 0;
    must(rc, "frames");
    if (info.ndim != 3 || info.extent[0] == 0 || info.extent[1] != ROWS ||
        info.extent[2] != COLUMNS) {
        fprintf(stderr, "heat: \"u\" in the file is not a series of %d x %d frames\n", ROWS,
                COLUMNS);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    offset[0] = info.extent[0] - 1;
    must(nsh_file_get(file, "u", offset, count, MPI_DOUBLE, row(b->now, 0),
                      b->rows * COLUMNS * (int64_t)sizeof(double)),
         "last frame");
    return info.extent[0];
}

static void run(nsh_comm *comm, const char *path, int64_t steps, int64_t every, int64_t die_at)
{
    const int64_t levels = LEVELS;
    double values[LEVELS];
    nsh_array *conductivity;
    nsh_file *file;
    int64_t frames;
    block b;

    b.first = (int64_t)ROWS * rank / size;
    b.rows = (int64_t)ROWS * (rank + 1) / size - b.first;
    b.now = calloc((size_t)(b.rows + 2) * COLUMNS, sizeof *b.now);
    b.next = calloc((size_t)(b.rows + 2) * COLUMNS, sizeof *b.next);
    if (b.now == NULL || b.next == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int i = 0; i < LEVELS; i++)
        values[i] = 0.05 + 0.15 * i / LEVELS;
    must(nsh_array_create(comm, MPI_DOUBLE, 1, &levels, NULL, &conductivity), "table");
    must(nsh_array_set(conductivity, values, NULL, NULL, 0), "table");
    must(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file), "open");
    frames = resume(file, &b);
    if (frames == 0) {
        begin(&b);
        append(file, &b, 0);
        frames = 1;
    } else if (rank == 0) {
        printf("going on after frame %lld\n", (long long)frames - 1);
    }
    for (int64_t s = (frames - 1) * every + 1; s <= steps; s++) {
        step(&b, nsh_array_data(conductivity));
        if (s == die_at && rank == 0)
            kill(getpid(), SIGKILL);
        if (s % every != 0)
            continue;
        append(file, &b, s);
        if (++frames % COMMIT == 0)
            must(nsh_file_commit(file), "commit");
    }
    must(nsh_file_close(&file), "close");
    if (rank == 0)
        printf("%lld frames in %s\n", (long long)frames, path);
    must(nsh_array_free(&conductivity), "free");
    free(b.now);
    free(b.next);
}

static nsh_array *load(nsh_comm *comm, const char *path)
{
    nsh_array *u;
    nsh_file *file;

    must(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), path);
    must(nsh_file_load(file, "u", &u), path);
    must(nsh_file_close(&file), path);
    return u;
}

static int same(nsh_comm *comm, const char *one, const char *other)
{
    nsh_array *a = load(comm, one), *b = load(comm, other);
    int64_t n = nsh_array_nbytes(a);
    int equal =
        n == nsh_array_nbytes(b) && memcmp(nsh_array_data(a), nsh_array_data(b), (size_t)n) == 0;

    if (rank == 0)
        printf("%lld frames, %s\n", (long long)nsh_array_extent_of(a, 0),
               equal ? "the same bit by bit" : "DIFFERENT");
    nsh_array_free(&a);
    nsh_array_free(&b);
    return equal ? 0 : 1;
}

static void print_last(nsh_comm *comm, const char *path)
{
    nsh_array *u = load(comm, path);
    const double *last = nsh_array_data(u);

    last += (nsh_array_extent_of(u, 0) - 1) * ROWS * COLUMNS;
    for (int i = 0; i < ROWS && rank == 0; i++)
        for (int j = 0; j < COLUMNS; j++)
            printf("%.6g%c", last[i * COLUMNS + j], j < COLUMNS - 1 ? ' ' : '\n');
    nsh_array_free(&u);
}

static int64_t option(int argc, char **argv, const char *name, int64_t otherwise)
{
    for (int i = 3; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return atoll(argv[i + 1]);
    return otherwise;
}

int main(int argc, char **argv)
{
    nsh_comm *comm;
    int code = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), "communicator");
    if (argc == 4 && strcmp(argv[1], "--same") == 0)
        code = same(comm, argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "--last") == 0)
        print_last(comm, argv[2]);
    else if (argc >= 3 && atoll(argv[2]) > 0 && size <= ROWS)
        run(comm, argv[1], atoll(argv[2]), option(argc, argv, "--every", 10),
            option(argc, argv, "--die-at", 0));
    else {
        if (rank == 0)
            fprintf(stderr, "usage: heat FILE STEPS [--every N] [--die-at STEP]\n"
                            "       heat --same FILE FILE | --last FILE\n");
        code = 2;
    }
    must(nsh_comm_free(&comm), "free");
    MPI_Finalize();
    return code;
}
