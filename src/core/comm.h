/* SPDX-License-Identifier: BSD-3-Clause */
/* comm.h -- what the modules of the library know of a communicator. */
#ifndef NSH_CORE_COMM_H
#define NSH_CORE_COMM_H

#include <limits.h>

#include <nodeshare/comm.h>

#include "base/fork.h"
#include "base/machine.h"
#include "core/call.h"
#include "core/gate.h"
#include "core/wait.h"

/* Tags on the private communicator. The first message of a collective call between two nodes
 * carries the call's number modulo NSH__SEQUENCE_TAGS and its kind in its tag: a receiver, which
 * may not know who will send to it, takes none of another call, nor one that is longer than its
 * buffer. All tags are below 32768, which every MPI has. */
enum {
    NSH__SEQUENCE_TAGS = 8192,
    NSH__TAG_AGREEMENT = 0,                                      /* to 8191: an agreement */
    NSH__TAG_TRANSFER = NSH__TAG_AGREEMENT + NSH__SEQUENCE_TAGS, /* to 16383: from a root */
    NSH__TAG_DATA = NSH__TAG_TRANSFER + NSH__SEQUENCE_TAGS, /* segments of a transfer, in order */
    NSH__TAG_ACK,     /* the end of an acknowledged transfer */
    NSH__TAG_CONTROL, /* nsh__control_message: probed by every rank that waits */
    NSH__TAG_ASK,     /* a request for a word (rma.c), and its answer */
    NSH__TAG_ANSWER,
    NSH__TAG_FILE,                         /* a segment for the owner of a file */
    NSH__TAG_TOKEN,                        /* an empty message, nsh__token added */
    NSH__TAG_WORKER = NSH__TAG_TOKEN + 64, /* in a batch's worker, a tag a batch, in turns */
    NSH__WORKER_TAGS = 8192
};

/* What a token says to who gets it. */
typedef enum nsh__token {
    NSH__TOKEN_LOCK, /* what you wait for is yours */
    NSH__TOKEN_TURN, /* all ranks before you are through the sequential section */
    NSH__TOKENS
} nsh__token;

/* A transfer whose call's number is a multiple of this is acknowledged, so that no node is further
 * ahead of another: a call with such a number that is no transfer waits for all nodes itself, or
 * the agreement right behind it does. */
enum { NSH__ACK_EVERY = 64 };

enum { NSH__NO_ROOT = INT_MIN };

/* Tokens from ranks of this node, counted: put by who passes one on, awaited by the slot's rank. */
typedef struct nsh__mailbox {
    _Alignas(64) atomic_uint tokens;
    atomic_uint sleepers;
} nsh__mailbox;

/* Why a communicator is broken. */
typedef struct nsh__reason {
    int status; /* what calls that are waiting return; 0: it is not broken */
    int code;   /* as the rank that broke it has it: a status, or the program's own number */
    int rank;   /* that rank */
    bool given; /* by nsh_comm_fail */
    char text[NSH__TEXT];
} nsh__reason;

/* What a rank shows the others of its node. But for the mailbox it is about the collective call
 * they are in: written before it arrives, read by the leader between the last arrival and the
 * release. */
typedef struct nsh__slot {
    _Alignas(64) int code;
    int rank;
    atomic_uint phase; /* of the gate: the last one at which this rank has arrived. Stored relaxed
                            before it arrives, read relaxed by nsh__report_wait alone */
    int64_t low, high; /* see nsh__agreement */
    uint64_t sum;      /* this rank's part of a checksum; read between the two agreements */
    /* For messages only, read where signatures have been found to differ. */
    nsh__call call;
    int root;        /* NSH__NO_ROOT: the call has none */
    uint64_t object; /* number of the array that the root changes */
    uint64_t signature;
    char text[NSH__TEXT];
    nsh__reason reason; /* written when this rank breaks the communicator, before area->broken_by
                           names it; read after that */
    nsh__mailbox mailbox[NSH__TOKENS];
} nsh__slot;

/* The head of a node's heap: everything by which its ranks meet. */
typedef struct nsh__node_area {
    nsh__gate_area gate;
    atomic_int broken_by; /* 1 + the node rank whose slot has the reason why gate.broken is set, or
                             is about to be; 0: none. Changes once */
    _Alignas(64) int64_t low, high; /* the outcome of an agreement; written like gate.outcome */
    nsh__slot slots[];              /* one a rank */
} nsh__node_area;

/* Which collective call a node is in. Two agreements with one number are compared by the agreement
 * itself; in any other pair the signatures must be equal. sequence 0: none. */
typedef struct nsh__position {
    uint64_t sequence, signature;
    bool agreement;
    nsh__call call; /* for messages only */
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
    uint64_t most, least; /* of the signatures, the least as its complement: both by maximum */
    uint64_t most_by, least_by; /* call << 32 | ~rank that brought them, for the message */
    uint64_t worst;             /* code << 32 | ~rank: the largest code, of its lowest rank */
    uint64_t low, high;         /* the range, the low end as its complement */
    char text[NSH__TEXT];       /* the detail of worst; sent only when there is one */
} nsh__agreement_message;

/* What this rank waits for outside collective calls, as nsh__report_wait names it. All NULL inside
 * them. */
typedef struct nsh__subject {
    const char *call;
    const char *kind, *name;     /* of an object */
    int (*holder)(void *object); /* its holder as far as this node's memory tells, -1: it does not;
                                    NULL: nobody holds such an object */
    void *object;
} nsh__subject;

struct nsh__heap;
struct nsh__transfer;
struct nsh__helper;
struct nsh__rma;
struct nsh__agreement_hook;

struct nsh_comm {
    /* who */
    MPI_Comm mpi;      /* duplicate of the caller's; MPI_COMM_NULL on a serial communicator */
    MPI_Comm node_mpi; /* the ranks of this node. The program sends on it too: the library makes
                          only collective operations on it, and only in collective calls on comm */
    int rank, size;
    int node_rank, node_size;
    int node_index, node_count;
    int host_count, host_ranks, cores;           /* ranks on this host, cores that they may use, */
    unsigned char affinity[NSH__AFFINITY_BYTES]; /* and which processors */
    int *node_of;                                /* rank -> node */
    int *leader_of;                              /* node -> rank of its leader */
    int *size_of;                                /* node -> its number of ranks */
    int *node_rank_of;                           /* rank -> node rank there */
    int *asked; /* rank -> how many notices of suspicion it was sent */

    /* how they meet */
    nsh__wait wait;
    nsh__gate gate;
    nsh__node_area *area;
    struct nsh__heap *heap;
    struct nsh__transfer *transfer; /* what moves bytes between nodes; NULL on one node */
    uint64_t sequence;              /* number of the current collective call */
    uint64_t signature;             /* its signature, by which nodes find out that they disagree */
    nsh__position history[NSH__ACK_EVERY]; /* the last calls, by sequence modulo NSH__ACK_EVERY */
    uint64_t rooted;                       /* the last call whose root was on this node */
    int awaited;                           /* the node that this rank waits for; -1: none */
    int heard;                             /* how many notices of suspicion have come */
    int expected;           /* how many were sent to this rank; here because a broken call may
                             * leave it to MPI */
    nsh__position *pending; /* node -> the call in which it waits for this node, which has
                               not begun it; on a leader */
    int npending;           /* how many of them are not none */
    MPI_Request asking;     /* the last notice of suspicion that this rank has sent */
    nsh__agreement_message messages[2]; /* sent and received; here because a broken call may leave
                               them to MPI */
    nsh__control_message notices[2];    /* sent: to break; to compare */
    struct nsh__helper *helper;
    struct nsh__rma *rma;              /* words; NULL until an object needs some */
    atomic_bool homes_words;           /* this rank leads a node where there are some */
    unsigned tokens_seen[NSH__TOKENS]; /* taken from this rank's mailboxes */
    nsh__call call;                    /* the current or last collective call */
    nsh__subject subject;              /* of a call that is not collective */
    int acting;                        /* the rank that opens the gate in this call */
    int partner;                       /* the rank whose message is awaited; -1: see awaited */
    struct nsh__agreement_hook *hooks; /* NSH_CHECK=1: what is called around agreements */
    bool in_turn;                      /* between nsh_sequential_begin and _end */
    bool in_kernels;                   /* while a map on it runs this rank's kernels; written before
                                          their threads start and after they have ended */

    /* what was asked for */
    nsh_progress_mode progress;
    bool threads;          /* MPI gave MPI_THREAD_MULTIPLE */
    bool helped;           /* every leader that homes words has a helper */
    bool words_by_message; /* backend of rma.c */
    bool check;            /* NSH_CHECK=1 */
    bool guard;            /* replicas are read-only */

    /* what lives on it */
    struct nsh__object *first_object, *last_object; /* in the order of creation; object.h */
    int64_t objects;                                /* in that list, on all ranks alike */
    int64_t live;                                   /* those that this rank has not released */
    int64_t released;                               /* those that it has, */
    uint64_t released_hash;                         /* and a hash of their set */
    uint64_t *object_bits; /* two bits for each object, to compare what ranks have released: */
    int64_t object_bits_capacity; /* so many words of this rank's and so many of all ranks' */
    uint64_t compared;            /* created, when they were compared last */
    int64_t trimmed;              /* when idle arrays were last looked for (array.c) */
    uint64_t created;             /* objects ever, to number them */
    uint64_t batches;             /* batches ever, for their tags */
    void *names;                  /* of objects: a tree of tsearch(3) */

    /* its end */
    int keyval; /* of the attribute on MPI_COMM_SELF through which MPI_Finalize reaches us */
    bool freeing;
    bool handle;           /* the program has the handle: it has neither freed nor abandoned it */
    bool borrowed;         /* nsh_comm_of has it cached, and the program's handles are borrowed */
    nsh_comm *replaced_by; /* a cached one that is broken: the next one; NULL: none yet */
    bool parked; /* it is gone, but its windows stay open until all ranks are in MPI_Finalize */
    const char *gone; /* what has taken it away, and its objects with it; NULL: nothing has. Private
                         memory stays until the program has given up all handles */
    unsigned forks;   /* nsh__forks when it was made */
};

/* Was comm made by another process, of which this one is a forked child? */
static inline bool nsh__comm_inherited(const nsh_comm *comm)
{
    return comm->forks != atomic_load_explicit(&nsh__forks, memory_order_relaxed);
}

static inline bool nsh__comm_broken(const nsh_comm *comm)
{
    return atomic_load_explicit(&comm->area->gate.broken, memory_order_acquire) != NSH_SUCCESS;
}

/* End of what a call that is not collective waits for. Returns rc. */
static inline int nsh__subject_end(nsh_comm *comm, int rc)
{
    comm->subject = (nsh__subject){.call = NULL};
    return rc;
}

static inline bool nsh__comm_leads(const nsh_comm *comm)
{
    return comm->node_rank == 0;
}

/* The tag of the first messages of call number sequence, if it is an agreement, and if it is a
 * transfer.
 */
static inline int nsh__agreement_tag(uint64_t sequence)
{
    return NSH__TAG_AGREEMENT + (int)(sequence % NSH__SEQUENCE_TAGS);
}

static inline int nsh__transfer_tag(uint64_t sequence)
{
    return NSH__TAG_TRANSFER + (int)(sequence % NSH__SEQUENCE_TAGS);
}

#endif
