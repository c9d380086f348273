/* SPDX-License-Identifier: BSD-3-Clause */
/* comm.h -- a communicator, as the files of the library see it. */
#ifndef NSH_CORE_COMM_H
#define NSH_CORE_COMM_H

#include <limits.h>

#include <nodeshare/comm.h>

#include "base/fork.h"
#include "base/machine.h"
#include "core/call.h"
#include "core/gate.h"
#include "core/wait.h"

/* Tags on the private communicator. The tag of the first message of a collective call between two
 * nodes contains the call's number modulo NSH__SEQUENCE_TAGS and its kind. So a receiver, which may
 * not know its sender, receives no message of another call, and none that is longer than its
 * buffer. All tags are below 32768, which every MPI has. */
enum {
    NSH__SEQUENCE_TAGS = 8192,
    NSH__TAG_AGREEMENT = 0,                                      /* to 8191: an agreement */
    NSH__TAG_TRANSFER = NSH__TAG_AGREEMENT + NSH__SEQUENCE_TAGS, /* to 16383: from a root */
    NSH__TAG_DATA = NSH__TAG_TRANSFER + NSH__SEQUENCE_TAGS, /* segments of a transfer, in order */
    NSH__TAG_ACK,     /* the end of an acknowledged transfer */
    NSH__TAG_CONTROL, /* nsh__control_message: every waiting rank probes for it */
    NSH__TAG_ASK,     /* a request for a word (rma.c), and its answer */
    NSH__TAG_ANSWER,
    NSH__TAG_FILE,                         /* a segment for the I/O rank of a file */
    NSH__TAG_TOKEN,                        /* an empty message; nsh__token is added */
    NSH__TAG_WORKER = NSH__TAG_TOKEN + 64, /* in a worker of a batch; batches use the tags in
                                              turn */
    NSH__WORKER_TAGS = 8192
};

/* What a token says to the rank that receives it. */
typedef enum nsh__token {
    NSH__TOKEN_LOCK, /* the lock that you wait for is yours */
    NSH__TOKEN_TURN, /* all ranks before you have left the sequential section */
    NSH__TOKENS
} nsh__token;

/* A transfer whose call has a number that is a multiple of this is acknowledged, so that no node is
 * further ahead of another. A call with such a number that is no transfer waits for all nodes
 * itself, or the agreement right after it does. */
enum { NSH__ACK_EVERY = 64 };

enum { NSH__NO_ROOT = INT_MIN };

/* The number of tokens from ranks of this node: incremented by the sender, awaited by the slot's
 * rank. */
typedef struct nsh__mailbox {
    _Alignas(64) atomic_uint tokens;
    atomic_uint sleepers;
} nsh__mailbox;

/* Why a communicator is broken. */
typedef struct nsh__reason {
    int status; /* what waiting calls return; 0: the communicator is not broken */
    int code;   /* the code of the rank that broke it: a status, or the program's own number */
    int rank;   /* that rank */
    bool given; /* set by nsh_comm_fail */
    char text[NSH__TEXT];
} nsh__reason;

/* What a rank shows the others of its node. All but phase, reason and mailbox is about its current
 * collective call: written before it arrives, read by the leader between the last arrival and the
 * release. */
typedef struct nsh__slot {
    _Alignas(64) int code;
    int rank;
    atomic_uint phase; /* of the gate: the last one at which this rank has arrived. Stored relaxed
                          before it arrives, read relaxed only by nsh__report_wait */
    int64_t low, high; /* see nsh__agreement */
    uint64_t sum;      /* this rank's part of a checksum; read between the two agreements */
    /* Only for the texts of failures, read where signatures differ. */
    nsh__call call;
    int root;        /* NSH__NO_ROOT: the call has none */
    uint64_t object; /* number of the array that the root changes */
    uint64_t signature;
    char text[NSH__TEXT];
    nsh__reason reason; /* written when this rank breaks the communicator, before area->broken_by
                           names it; read after that */
    nsh__mailbox mailbox[NSH__TOKENS];
} nsh__slot;

/* The head of a node's heap: the memory through which its ranks meet. */
typedef struct nsh__node_area {
    nsh__gate_area gate;
    atomic_int broken_by; /* 1 + the node rank whose slot has the reason of gate.broken, which is
                             set now or soon; 0: none. Changes once */
    _Alignas(64) int64_t low, high; /* the outcome of an agreement; written like gate.outcome */
    nsh__slot slots[];              /* one for each rank */
} nsh__node_area;

/* The collective call in which a node is. Two agreements with one number are compared by the
 * agreement itself; in any other pair the signatures must be equal. sequence 0: none. */
typedef struct nsh__position {
    uint64_t sequence, signature;
    bool agreement;
    nsh__call call; /* only for the texts of failures */
} nsh__position;

/* A message on NSH__TAG_CONTROL. */
typedef struct nsh__control_message {
    nsh__reason reason; /* status not 0: the sender's node has broken the communicator */
    nsh__position
        position; /* otherwise: the sender waits in this call for a message of your node */
} nsh__control_message;

/* What one node tells another in an agreement. */
typedef struct nsh__agreement_message {
    uint64_t sequence;
    uint64_t most, least;       /* maximum of the signatures, and of their complements */
    uint64_t most_by, least_by; /* call << 32 | ~rank that has this signature, for the text of a
                                   failure */
    uint64_t worst;             /* code << 32 | ~rank: the largest code, of the lowest rank that has
                                   it */
    uint64_t low, high;         /* the range; low as its complement */
    char text[NSH__TEXT];       /* the detail of worst; sent only if worst is a failure */
} nsh__agreement_message;

/* What this rank waits for outside collective calls, for nsh__report_wait. Inside them all fields
 * are NULL. */
typedef struct nsh__subject {
    const char *call;
    const char *kind, *name;     /* of an object */
    int (*holder)(void *object); /* the holder that this node's memory shows, -1: it does not show
                                    it; NULL: such an object has no holder */
    void *object;
} nsh__subject;

struct nsh__heap;
struct nsh__transfer;
struct nsh__helper;
struct nsh__rma;
struct nsh__agreement_hook;

struct nsh_comm {
    /* ranks, nodes and hosts */
    MPI_Comm mpi;      /* duplicate of the caller's; MPI_COMM_NULL on a serial communicator */
    MPI_Comm node_mpi; /* the ranks of this node. The program uses it too: the library makes only
                          collective operations on it, and only in collective calls on comm */
    int rank, size;
    int node_rank, node_size;
    int node_index, node_count;
    int host_count, host_ranks, cores;           /* ranks on this host, cores that they may use */
    unsigned char affinity[NSH__AFFINITY_BYTES]; /* and the processors */
    int *node_of;                                /* rank -> node */
    int *leader_of;                              /* node -> rank of its leader */
    int *size_of;                                /* node -> its number of ranks */
    int *node_rank_of;                           /* rank -> node rank on its node */
    int *asked; /* rank -> how many comparison requests this rank has sent to it */

    /* waiting, gate and messages */
    nsh__wait wait;
    nsh__gate gate;
    nsh__node_area *area;
    struct nsh__heap *heap;
    struct nsh__transfer *transfer;        /* moves bytes between nodes; NULL on one node */
    uint64_t sequence;                     /* number of the current collective call */
    uint64_t signature;                    /* its signature: nodes compare it */
    nsh__position history[NSH__ACK_EVERY]; /* the last calls, by sequence modulo NSH__ACK_EVERY */
    uint64_t rooted;                       /* the last call whose root was on this node */
    int awaited;                           /* the node that this rank waits for; -1: none */
    int heard;                             /* how many comparison requests this rank has received */
    int expected;           /* how many were sent to this rank; a member because a broken call may
                               leave it to MPI */
    nsh__position *pending; /* on a leader: node -> the call in which it waits for this node, which
                               has not begun that call yet */
    int npending;           /* how many of them have a sequence other than 0 */
    MPI_Request asking;     /* the last comparison request that this rank has sent */
    nsh__agreement_message messages[2]; /* sent and received; members because a broken call may
                                           leave them to MPI */
    nsh__control_message control_messages[2]; /* sent: that the communicator is broken; to compare
                                           calls */
    struct nsh__helper *helper;
    struct nsh__rma *rma;              /* the words; NULL until an object needs some */
    atomic_bool homes_words;           /* this rank leads a node at which words live */
    unsigned tokens_seen[NSH__TOKENS]; /* received through this rank's mailboxes */
    nsh__call call;                    /* the current or last collective call */
    nsh__subject subject;              /* of a call that is not collective */
    int acting;                        /* the rank that opens the gate in this call */
    int partner;                       /* the rank whose message is awaited; -1: see awaited */
    struct nsh__agreement_hook *hooks; /* NSH_CHECK=1: called around agreements */
    bool in_turn;                      /* between nsh_sequential_begin and _end */
    bool in_kernels;                   /* a map on this communicator runs this rank's kernels;
                                          written before their threads start and after they have
                                          ended */

    /* options */
    nsh_progress_mode progress;
    bool threads;          /* MPI gave MPI_THREAD_MULTIPLE */
    bool helped;           /* every leader that homes words has a helper */
    bool words_by_message; /* backend of rma.c */
    bool check;            /* NSH_CHECK=1 */
    bool guard;            /* replicas are read-only */

    /* objects */
    struct nsh__object *first_object, *last_object; /* in the order of creation; object.h */
    int64_t objects;                                /* in that list; equal on all ranks */
    int64_t live;                                   /* of those, not released by this rank */
    int64_t released;                               /* of those, released by this rank */
    uint64_t released_hash;                         /* hash of the set of released objects */
    uint64_t *object_bits; /* to compare what ranks have released: two bits for each object */
    int64_t object_bits_capacity; /* this many words of this rank's bits, and as many of all
                                     ranks' */
    uint64_t compared;            /* the value of created when they were compared last */
    int64_t trimmed;              /* when idle arrays were last trimmed (array.c) */
    uint64_t created;             /* objects created so far, to number them */
    uint64_t batches;             /* batches created so far, for their tags */
    void *names;                  /* names of objects: a tree of tsearch(3) */

    /* the end of the communicator */
    int keyval; /* of the attribute on MPI_COMM_SELF by which MPI_Finalize calls the library */
    bool freeing;
    bool handle;           /* the program has neither freed nor abandoned the handle */
    bool borrowed;         /* nsh_comm_of has cached it, and the program's handles are borrowed */
    nsh_comm *replaced_by; /* of a cached one that is broken: its successor; NULL: none yet */
    bool parked; /* it is gone, but its windows stay open until all ranks are in MPI_Finalize */
    const char *gone; /* the call that has ended it and its objects; NULL: it lives. Private memory
                         stays until the program has freed all handles */
    unsigned forks;   /* nsh__forks when it was created */
};

/* [local] Was comm made by another process, of which this one is a forked child? */
static inline bool nsh__comm_inherited(const nsh_comm *comm)
{
    return comm->forks != atomic_load_explicit(&nsh__forks, memory_order_relaxed);
}

/* [local] Does this node know that comm is broken? */
static inline bool nsh__comm_broken(const nsh_comm *comm)
{
    return atomic_load_explicit(&comm->area->gate.broken, memory_order_acquire) != NSH_SUCCESS;
}

/* [local] A call that is not collective ends. Returns rc. */
static inline int nsh__subject_end(nsh_comm *comm, int rc)
{
    comm->subject = (nsh__subject){.call = NULL};
    return rc;
}

/* [local] Is this rank the leader of its node? */
static inline bool nsh__comm_leads(const nsh_comm *comm)
{
    return comm->node_rank == 0;
}

/* [local] The tag of the first messages of call number sequence, if it is an agreement, and if it
 * is a transfer. */
static inline int nsh__agreement_tag(uint64_t sequence)
{
    return NSH__TAG_AGREEMENT + (int)(sequence % NSH__SEQUENCE_TAGS);
}

static inline int nsh__transfer_tag(uint64_t sequence)
{
    return NSH__TAG_TRANSFER + (int)(sequence % NSH__SEQUENCE_TAGS);
}

#endif
