/* SPDX-License-Identifier: BSD-3-Clause */
/* call.h -- the collective calls, for signatures and the texts of failures. */
#ifndef NSH_CORE_CALL_H
#define NSH_CORE_CALL_H

/* Every call, as X(KEY, name); the names are those of the public functions. */
#define NSH__CALL_LIST(X)                                                                          \
    X(NONE, "nodeshare")                                                                           \
    X(BARRIER, "nsh_comm_barrier")                                                                 \
    X(NODE_BARRIER, "nsh_comm_node_barrier")                                                       \
    X(COMM_FREE, "nsh_comm_free")                                                                  \
    X(COMM_FREE_ALL, "nsh_comm_free_all")                                                          \
    X(HEAP, "nodeshare heap")                                                                      \
    X(CREATE, "nsh_array_create")                                                                  \
    X(LIKE, "nsh_array_like")                                                                      \
    X(SET, "nsh_array_set")                                                                        \
    X(SET_STRIDED, "nsh_array_set_strided")                                                        \
    X(SET_MANY, "nsh_array_set_many")                                                              \
    X(UPDATE_BEGIN, "nsh_array_update_begin")                                                      \
    X(UPDATE_END, "nsh_array_update_end")                                                          \
    X(ALLGATHER, "nsh_array_allgather")                                                            \
    X(ALLREDUCE, "nsh_array_allreduce")                                                            \
    X(FILL, "nsh_array_fill")                                                                      \
    X(CHECKSUM, "nsh_array_checksum")                                                              \
    X(GET, "nsh_array_get")                                                                        \
    X(WORDS, "nodeshare words")                                                                    \
    X(MUTEX_CREATE, "nsh_mutex_create")                                                            \
    X(MUTEX_FREE, "nsh_mutex_free")                                                                \
    X(SEMAPHORE_CREATE, "nsh_semaphore_create")                                                    \
    X(SEMAPHORE_FREE, "nsh_semaphore_free")                                                        \
    X(COUNTER_CREATE, "nsh_counter_create")                                                        \
    X(COUNTER_FREE, "nsh_counter_free")                                                            \
    X(SEQUENTIAL_BEGIN, "nsh_sequential_begin")                                                    \
    X(SEQUENTIAL_END, "nsh_sequential_end")                                                        \
    X(FILE_OPEN, "nsh_file_open")                                                                  \
    X(FILE_COMMIT, "nsh_file_commit")                                                              \
    X(FILE_CLOSE, "nsh_file_close")                                                                \
    X(FILE_ABANDON, "nsh_file_abandon")                                                            \
    X(FILE_WRITE, "nsh_file_write")                                                                \
    X(FILE_READ, "nsh_file_read")                                                                  \
    X(FILE_LOAD, "nsh_file_load")                                                                  \
    X(FILE_INFO, "nsh_file_info")                                                                  \
    X(FILE_LIST, "nsh_file_list")                                                                  \
    X(FILE_READ_HYPERSLAB, "nsh_file_read_hyperslab")                                              \
    X(FILE_WRITE_HYPERSLAB, "nsh_file_write_hyperslab")                                            \
    X(FILE_GET, "nsh_file_get")                                                                    \
    X(FILE_APPEND, "nsh_file_append")                                                              \
    X(FILE_APPEND_HYPERSLAB, "nsh_file_append_hyperslab")                                          \
    X(FILE_SET_ATTR, "nsh_file_set_attr")                                                          \
    X(FILE_GET_ATTR, "nsh_file_get_attr")                                                          \
    X(FILE_SET_DIM, "nsh_file_set_dim")                                                            \
    X(FILE_LIST_ATTRS, "nsh_file_list_attrs")                                                      \
    X(SNAPSHOT_SAVE, "nsh_snapshot_save")                                                          \
    X(SNAPSHOT_RESTORE, "nsh_snapshot_restore")                                                    \
    X(MAP, "nsh_map")                                                                              \
    X(MAP_ROWS, "nsh_map_rows")                                                                    \
    X(BATCH_CREATE, "nsh_batch_create")                                                            \
    X(BATCH_FREE, "nsh_batch_free")                                                                \
    X(BATCH_SYNC, "nsh_batch_sync")                                                                \
    X(BATCH_REOPEN, "nsh_batch_reopen")                                                            \
    X(BATCH_RESULTS, "nsh_batch_results")

#define NSH__CALL_KEY(key, name) NSH__CALL_##key,
typedef enum nsh__call { NSH__CALL_LIST(NSH__CALL_KEY) NSH__CALLS } nsh__call;
#undef NSH__CALL_KEY

/* [local] The public function's name. */
const char *nsh__call_name(nsh__call call);

#endif
