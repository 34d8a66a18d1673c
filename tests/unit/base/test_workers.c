// Workers: every piece of work runs elsewhere and comes back to its owner's mailbox, once.
#include "base/workers.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <cmocka.h>

enum { PIECES = 1000 };

struct piece {
    struct work work;
    pthread_t ran_on;
    atomic_bool *gate; // run() waits until it opens; NULL: no gate
    atomic_bool begun;
    int ran, done;
};

static void run(struct work *work) {
    struct piece *piece = CONTAINER_OF(work, struct piece, work);
    atomic_store(&piece->begun, true);
    while (piece->gate && !atomic_load(piece->gate))
        sched_yield();
    piece->ran_on = pthread_self();
    piece->ran++;
}

static void done(struct work *work) {
    CONTAINER_OF(work, struct piece, work)->done++;
}

static void send_piece(struct workers *workers, struct piece *piece, struct mailbox *owner,
                       atomic_bool *gate) {
    memset(piece, 0, sizeof *piece);
    piece->work = (struct work){.run = run, .done = done, .owner = owner};
    piece->gate = gate;
    workers_send(workers, &piece->work);
}

static void wait_for(struct mailbox *owner, const int *counter) {
    while (*counter == 0) {
        mailbox_drain(owner);
        sched_yield();
    }
}

static void test_all_work_is_done_elsewhere_and_comes_back_once(void **state) {
    (void)state;
    static struct piece pieces[PIECES];
    struct mailbox owner;
    mailbox_init(&owner, NULL, NULL);
    struct workers *workers = workers_new(3);
    for (size_t i = 0; i < PIECES; i++)
        send_piece(workers, &pieces[i], &owner, NULL);
    workers_free(&workers);
    assert_null(workers);
    mailbox_drain(&owner);
    for (size_t i = 0; i < PIECES; i++) {
        assert_int_equal(pieces[i].ran, 1);
        assert_int_equal(pieces[i].done, 1);
        assert_false(pthread_equal(pieces[i].ran_on, pthread_self()));
    }
}

static void test_work_that_waits_can_be_withdrawn_and_sent_again(void **state) {
    (void)state;
    struct piece first, second;
    atomic_bool gate = false;
    struct mailbox owner;
    mailbox_init(&owner, NULL, NULL);
    struct workers *workers = workers_new(1);
    send_piece(workers, &first, &owner, &gate);
    while (!atomic_load(&first.begun))
        sched_yield();
    send_piece(workers, &second, &owner, NULL);
    assert_false(workers_withdraw(workers, &first.work));
    assert_true(workers_withdraw(workers, &second.work));
    assert_false(workers_withdraw(workers, &second.work));
    atomic_store(&gate, true);
    wait_for(&owner, &first.done);
    assert_int_equal(second.ran, 0);
    workers_send(workers, &second.work);
    wait_for(&owner, &second.done);
    assert_int_equal(second.ran, 1);
    workers_free(&workers);
}

static void test_several_workers_work_at_once(void **state) {
    (void)state;
    struct piece first, second;
    atomic_bool gate = false;
    struct mailbox owner;
    mailbox_init(&owner, NULL, NULL);
    struct workers *workers = workers_new(2);
    send_piece(workers, &first, &owner, &gate);
    send_piece(workers, &second, &owner, NULL);
    wait_for(&owner, &second.done);
    assert_int_equal(first.done, 0);
    atomic_store(&gate, true);
    wait_for(&owner, &first.done);
    workers_free(&workers);
}

int main(void) {
    struct workers *none = NULL;
    workers_free(&none);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_work_is_done_elsewhere_and_comes_back_once),
        cmocka_unit_test(test_work_that_waits_can_be_withdrawn_and_sent_again),
        cmocka_unit_test(test_several_workers_work_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
