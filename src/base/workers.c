#include "base/workers.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { THREAD_NAME_SIZE = 16 };

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list waiting; /* under the lock, as `stop` */
    bool stop;
    uint32_t count;
    pthread_t threads[];
};

static void receive_done(struct message *message) {
    struct work *work = CONTAINER_OF(message, struct work, message);
    work->done(work);
}

static void *serve(void *argument) {
    struct workers *workers = argument;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct list_node *node = list_take_first(&workers->waiting);
        if (!node && workers->stop)
            break;
        if (!node) {
            pthread_cond_wait(&workers->more, &workers->lock);
            continue;
        }
        pthread_mutex_unlock(&workers->lock);
        struct work *work = CONTAINER_OF(node, struct work, node);
        work->run(work);
        work->message.receive = receive_done;
        mailbox_send(work->owner, &work->message);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

struct workers *workers_new(uint32_t count) {
    CHECK(count >= 1);
    struct workers *workers = mem_new(sizeof *workers + count * sizeof workers->threads[0]);
    list_init(&workers->waiting);
    workers->count = count;
    CHECK(pthread_mutex_init(&workers->lock, NULL) == 0);
    CHECK(pthread_cond_init(&workers->more, NULL) == 0);
    /* Signals are the main loop's. */
    sigset_t all, before;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(pthread_create(&workers->threads[i], NULL, serve, workers) == 0);
        char name[THREAD_NAME_SIZE];
        snprintf(name, sizeof name, "inferd-work-%u", i % 1000);
        pthread_setname_np(workers->threads[i], name);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return workers;
}

void workers_free(struct workers **workers_at) {
    struct workers *workers = *workers_at;
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    pthread_cond_broadcast(&workers->more);
    pthread_mutex_unlock(&workers->lock);
    for (uint32_t i = 0; i < workers->count; i++)
        CHECK(pthread_join(workers->threads[i], NULL) == 0);
    pthread_cond_destroy(&workers->more);
    pthread_mutex_destroy(&workers->lock);
    mem_free(workers_at);
}

void workers_send(struct workers *workers, struct work *work) {
    pthread_mutex_lock(&workers->lock);
    CHECK(!workers->stop);
    list_add_last(&workers->waiting, &work->node);
    pthread_cond_signal(&workers->more);
    pthread_mutex_unlock(&workers->lock);
}

bool workers_withdraw(struct workers *workers, struct work *work) {
    pthread_mutex_lock(&workers->lock);
    bool waits = list_linked(&work->node);
    if (waits)
        list_remove(&work->node);
    pthread_mutex_unlock(&workers->lock);
    return waits;
}
