#include "base/mailbox.h"

#include <stddef.h>

void mailbox_init(struct mailbox *box, void (*wake)(void *context), void *context) {
    atomic_init(&box->newest, NULL);
    box->wake = wake;
    box->context = context;
}

void mailbox_send(struct mailbox *box, struct message *message) {
    struct message *old = atomic_load_explicit(&box->newest, memory_order_relaxed);
    do {
        message->next = old;
        /* release: pairs with the acquire in mailbox_drain */
    } while (!atomic_compare_exchange_weak_explicit(&box->newest, &old, message,
                                                    memory_order_release, memory_order_relaxed));
    if (!old && box->wake)
        box->wake(box->context);
}

bool mailbox_drain(struct mailbox *box) {
    /* acquire: pairs with the release in mailbox_send */
    struct message *newest = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire);
    struct message *oldest = NULL;
    while (newest) {
        struct message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest) {
        struct message *message = oldest;
        oldest = message->next;
        message->next = NULL;
        message->receive(message);
    }
    return any;
}
