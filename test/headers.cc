// SPDX-License-Identifier: BSD-3-Clause
// headers.cc -- what the headers define as macros is C++17 as well. It is compiled, not run.
#include <nodeshare.h>

int all_options()
{
    nsh_comm_options comm = NSH_COMM_OPTIONS_INIT;
    nsh_array_options array = NSH_ARRAY_OPTIONS_INIT;
    nsh_mutex_options mutex = NSH_MUTEX_OPTIONS_INIT;
    nsh_counter_options counter = NSH_COUNTER_OPTIONS_INIT;
    nsh_semaphore_options semaphore = NSH_SEMAPHORE_OPTIONS_INIT;
    nsh_file_options file = NSH_FILE_OPTIONS_INIT;
    nsh_batch_options batch = NSH_BATCH_OPTIONS_INIT;
    nsh_map_options map = NSH_MAP_OPTIONS_INIT;
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;

    return comm.wait + (array.name != nullptr) + mutex.home + counter.home + semaphore.home +
           file.writers + batch.worker_size + map.threads +
           static_cast<int>(stats.size + counts.size + info.size);
}

int codes(nsh_batch *made)
{
    NSH_OR_ABORT(nsh_batch_reopen(made, NSH_BATCH_REOPEN_DONE | NSH_BATCH_REOPEN_FAILED));
    NSH_OR_RETURN(nsh_batch_sync(made));
    return NSH_SUCCESS;
}
