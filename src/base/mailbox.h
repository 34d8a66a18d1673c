/* The only way across threads: ownership of a message moves from any thread to the one that owns
 * the mailbox. Many senders, one receiver, first in first out per sender; senders never wait. The
 * receiver is woken only when the box was empty, so a burst costs one wake. The wake comes after
 * the message: a box is freed only when no sender is inside mailbox_send. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct message {
    struct message *next;
    void (*receive)(
        struct message *message); /* called on the receiver's thread; owns the message */
};

struct mailbox {
    _Atomic(struct message *)
        newest; /* a stack of sent messages; pairs: send (release), drain (acquire) */
    void (*wake)(void *context); /* may be called from any thread */
    void *context;
};

void mailbox_init(struct mailbox *box, void (*wake)(void *context), void *context);
/* Thread: any. The message must not be in any box. */
void mailbox_send(struct mailbox *box, struct message *message);
/* Thread: the receiver. Calls receive() of every message sent so far, oldest first. False when
 * empty. */
bool mailbox_drain(struct mailbox *box);
