/* Threads for work that would hold up an event loop: parsing a large body, compressing an answer.
 * First come, first served. A piece of work belongs to its owner, is a worker's while it runs, and
 * comes back as a message. */
#pragma once

#include "base/list.h"
#include "base/mailbox.h"

#include <stdbool.h>
#include <stdint.h>

struct workers;

/* The owner's memory, zeroed; it must live until done(), or until it was withdrawn. */
struct work {
    void (*run)(struct work *work);  /* Thread: a worker */
    void (*done)(struct work *work); /* Thread: the owner's; may send the work again */
    struct mailbox *owner;

    struct list_node node; /* linked: it waits */
    struct message message;
};

/* Threads named "inferd-work-N". */
struct workers *workers_new(uint32_t count);
/* Does what was sent, joins; done() of the last ones may still lie in their owners' mailboxes. NULL
 * is accepted. */
void workers_free(struct workers **workers);

/* Thread: any. */
void workers_send(struct workers *workers, struct work *work);
/* Thread: the owner's. True: no worker has begun it, and done() will not be called. */
bool workers_withdraw(struct workers *workers, struct work *work);
