/* When a batch leaves, and which priority level begins it: pure functions over what waits, the time
 * and the rules. Asked by an executor that has nothing else to do, so without a delay the answer is
 * never "wait". Thread: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    BATCH_LEVELS_MAX = 16,    /* priority levels */
    BATCH_PREFERRED_MAX = 16, /* preferred sizes */
    BATCH_PASSED_MAX = 16     /* batches that may pass over a level before it begins one */
};

/* Why a batch left. */
enum batch_reason {
    BATCH_LEFT_FULL,      /* no more rows fit */
    BATCH_LEFT_PREFERRED, /* a preferred size was there */
    BATCH_LEFT_DELAY,     /* the oldest request has waited for the delay */
    BATCH_LEFT_IDLE,      /* an executor was idle, and nothing was worth waiting for */
    BATCH_LEFT_SHAPE,     /* in its delay a request of another shape came */
    BATCH_LEFT_TURN,      /* the loop's turn ended */
    BATCH_REASON_COUNT
};

struct batch_rules {
    uint64_t delay_ns; /* how long the oldest request may wait for others; 0: not at all */
    uint32_t preferred[BATCH_PREFERRED_MAX]; /* rows of a batch that leaves at once */
    uint32_t preferred_count;
};

/* The batch that could leave now. */
struct batch_view {
    uint32_t requests;           /* 0: nothing waits */
    uint32_t preferred_requests; /* of these the first so many have a preferred size; 0: none */
    bool full;                   /* no more rows fit */
    bool alone;                  /* its request shares with nobody */
    bool other_shape;            /* requests that cannot join it wait too */
    uint64_t oldest_ns;          /* when the oldest of all that wait came */
};

struct batch_decision {
    uint32_t requests; /* leave now: so many; 0: wait */
    enum batch_reason reason;
    uint64_t until_ns; /* wait: until then, or until something comes; UINT64_MAX: only that */
};

struct batch_decision batch_policy_decide(const struct batch_rules *rules,
                                          const struct batch_view *view, uint64_t now_ns);

/* Which of `count` levels begins the next batch: the first that waits, but a level that was passed
 * over BATCH_PASSED_MAX times comes before. `waiting` is a mask, not 0. */
uint32_t batch_policy_level(const uint32_t *passed, uint32_t count, uint32_t waiting);
/* A batch was taken: `taken` of the levels, `waiting` is left. */
void batch_policy_note(uint32_t *passed, uint32_t count, uint32_t taken, uint32_t waiting);
