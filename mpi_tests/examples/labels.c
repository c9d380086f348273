/* SPDX-License-Identifier: BSD-3-Clause */
/* labels.c -- labelled dimensions, coordinates, attributes and types in one file, as netCDF, xarray
 * and h5py see them.
 *
 *     labels FILE
 *
 * Numbers count up, so that each place has its own; rank 0 has them all. */
#include <complex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

enum { FRAMES = 4, LAT = 3, LON = 5, TEXT = 100000 };

static int rank;

static void must(int code, const char *what)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "labels: rank %d: %s: %s\n", rank, what, nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* What rank 0 has is the whole. */
static void write_whole(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                        const int64_t extent[], const void *data)
{
    const int64_t none[3] = {0};

    must(nsh_file_write_hyperslab(file, name, type, ndim, extent, data, NULL,
                                  rank == 0 ? NULL : none),
         name);
}

static void append(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                   const int64_t extent[], const void *data)
{
    const int64_t none[3] = {0};

    must(nsh_file_append_hyperslab(file, name, type, ndim, extent, data, NULL,
                                   rank == 0 ? NULL : none),
         name);
}

/* A series that is labelled once, with its first frame, and coordinates that grow with it. A second
 * series on the same dimension stops earlier. */
static void write_series(nsh_file *file, const double *numbers)
{
    const int64_t extent[] = {LAT, LON};

    for (int i = 0; i < FRAMES; i++) {
        double time = 0.5 * i;

        append(file, "air", MPI_DOUBLE, 2, extent, numbers + i * LAT * LON);
        append(file, "time", MPI_DOUBLE, 0, NULL, &time);
        if (i < 2)
            append(file, "energy", MPI_DOUBLE, 0, NULL, numbers + i);
        if (i == 0) {
            must(nsh_file_set_dim(file, "air", 0, "time", "s", NULL), "time");
            must(nsh_file_set_dim(file, "energy", 0, "time", NULL, NULL), "time");
        }
    }
    must(nsh_file_set_dim(file, "air", 1, "lat", "degree", numbers), "lat");
    must(nsh_file_set_dim(file, "air", 2, "lon", NULL, NULL), "lon");
    must(nsh_file_set_dim(file, "air", 2, "lon", "degree", numbers + 7), "lon, now with points");
}

/* One labelled dimension of three that are as long as each other; a dataset that becomes the
 * coordinates; and the same in a group, without coordinates. */
static void write_cubes(nsh_file *file, const double *numbers)
{
    const int64_t cube[] = {LON, LON, LON};
    int32_t level[LON] = {10, 20, 30, 40, 50};

    write_whole(file, "cube", MPI_DOUBLE, 3, cube, numbers);
    write_whole(file, "level", MPI_INT32_T, 1, cube, level);
    must(nsh_file_set_dim(file, "cube", 1, "level", "hPa", NULL), "level");
    write_whole(file, "group/cube", MPI_DOUBLE, 3, cube, numbers);
    must(nsh_file_set_dim(file, "group/cube", 0, "z", NULL, NULL), "z");
}

static void write_types(nsh_file *file)
{
    const int64_t three = 3;
    const bool flags[] = {true, false, true};
    const double complex waves[] = {1 + 2 * I, 3, -4 * I};

    write_whole(file, "flag", MPI_C_BOOL, 1, &three, flags);
    write_whole(file, "wave", MPI_C_DOUBLE_COMPLEX, 1, &three, waves);
    must(nsh_file_set_dim(file, "flag", 0, "lat", NULL, NULL), "lat");
}

static void write_attrs(nsh_file *file)
{
    const int32_t count = -7;
    const float real[] = {0.25f, -999};
    const double fill = -1;
    char *text = malloc(TEXT);

    if (text == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(text, 'y', TEXT);
    must(nsh_file_set_attr(file, NULL, "namelist", NSH_ATTR_TEXT, TEXT, text), "namelist");
    must(nsh_file_set_attr(file, NULL, "title", NSH_ATTR_TEXT, -1, "labels"), "title");
    must(nsh_file_set_attr(file, "air", "units", NSH_ATTR_TEXT, -1, "K"), "units");
    must(nsh_file_set_attr(file, "air", "count", NSH_ATTR_INT32, 1, &count), "count");
    must(nsh_file_set_attr(file, "air", "real", NSH_ATTR_FLOAT, 2, real), "real");
    must(nsh_file_set_attr(file, "energy", "_FillValue", NSH_ATTR_DOUBLE, 1, &fill), "fill value");
    free(text);
}

int main(int argc, char **argv)
{
    double numbers[LON * LON * LON];
    nsh_comm *comm;
    nsh_file *file;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc != 2) {
        if (rank == 0)
            fprintf(stderr, "usage: labels FILE\n");
        MPI_Finalize();
        return 2;
    }
    for (int i = 0; i < LON * LON * LON; i++)
        numbers[i] = i;
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), "communicator");
    must(nsh_file_open(comm, argv[1], NSH_FILE_CREATE, NULL, &file), "open");
    write_types(file);
    write_series(file, numbers);
    write_cubes(file, numbers);
    write_attrs(file);
    must(nsh_file_close(&file), "close");
    must(nsh_comm_free(&comm), "free");
    MPI_Finalize();
    return 0;
}
