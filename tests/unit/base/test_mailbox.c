/* The mailbox: order, wakes, and many threads at once (ThreadSanitizer watches). */
#include "base/mailbox.h"

#include "base/check.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <pthread.h>
#include <semaphore.h>

#include <cmocka.h>

enum { SENDERS = 4, LETTERS_OF_A_SENDER = 10000, PATIENCE_S = 60 };

struct letter {
    struct message message;
    struct mailbox *answer_to; /* or NULL */
    unsigned sender;
    unsigned number; /* plain memory: only the mailbox orders its writing and its reading */
};

/* What the receiving thread owns: letters come in, and are counted. */
static struct {
    unsigned next[SENDERS]; /* the number expected of each sender */
    unsigned count;
    unsigned disorder;
    unsigned order[8];
} seen;

static void note(struct message *message) {
    struct letter *letter = CONTAINER_OF(message, struct letter, message);
    if (letter->number != seen.next[letter->sender])
        seen.disorder++;
    seen.next[letter->sender] = letter->number + 1;
    if (seen.count < ARRAY_LEN(seen.order))
        seen.order[seen.count] = letter->number;
    seen.count++;
    if (letter->answer_to)
        mailbox_send(letter->answer_to, message);
}

static int forget(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    return 0;
}

static void count_wake(void *context) {
    ++*(unsigned *)context;
}

static void test_an_empty_box_has_nothing(void **state) {
    (void)state;
    struct mailbox box;
    mailbox_init(&box, NULL, NULL);
    assert_false(mailbox_drain(&box));
}

static void test_the_oldest_comes_first(void **state) {
    (void)state;
    struct mailbox box;
    mailbox_init(&box, NULL, NULL); /* a box may have nobody to wake */
    struct letter letters[4];
    for (unsigned i = 0; i < 4; i++) {
        letters[i] = (struct letter){.message = {NULL, note}, .number = i};
        mailbox_send(&box, &letters[i].message);
    }
    assert_true(mailbox_drain(&box));
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.disorder, 0);
    assert_false(mailbox_drain(&box));
    assert_int_equal(seen.count, 4);
}

static void test_a_burst_costs_one_wake(void **state) {
    (void)state;
    unsigned wakes = 0;
    struct mailbox box;
    mailbox_init(&box, count_wake, &wakes);
    struct letter letters[3];
    for (unsigned i = 0; i < 3; i++) {
        letters[i] = (struct letter){.message = {NULL, note}, .number = i};
        mailbox_send(&box, &letters[i].message);
        assert_int_equal(wakes, 1);
    }
    mailbox_drain(&box);
    mailbox_send(&box, &letters[0].message);
    assert_int_equal(wakes, 2);
    mailbox_drain(&box);
}

/* What is sent while the box is being emptied comes the next time, and wakes again. */
static void test_a_message_may_be_sent_again_from_its_receiver(void **state) {
    (void)state;
    unsigned wakes = 0;
    struct mailbox box;
    mailbox_init(&box, count_wake, &wakes);
    struct letter letter = {.message = {NULL, note}, .answer_to = &box};
    mailbox_send(&box, &letter.message);
    for (unsigned round = 1; round <= 3; round++) {
        letter.number = round - 1;
        assert_true(mailbox_drain(&box));
        assert_int_equal(seen.count, round);
        assert_int_equal(wakes, round + 1);
    }
    letter.answer_to = NULL;
    letter.number = 3;
    assert_true(mailbox_drain(&box));
    assert_false(mailbox_drain(&box));
    assert_int_equal(seen.disorder, 0);
}

struct post {
    struct mailbox box;
    sem_t bell;
    _Atomic unsigned wakes;
};

static void ring(void *context) {
    struct post *post = context;
    atomic_fetch_add(&post->wakes, 1);
    sem_post(&post->bell);
}

struct sender {
    pthread_t thread;
    struct post *post;
    struct letter *letters;
    unsigned index;
};

static void *send_all(void *context) {
    struct sender *sender = context;
    for (unsigned i = 0; i < LETTERS_OF_A_SENDER; i++) {
        struct letter *letter = &sender->letters[i];
        *letter = (struct letter){.message = {NULL, note}, .sender = sender->index, .number = i};
        mailbox_send(&sender->post->box, &letter->message);
        if (i % 64 == 0)
            nanosleep(&(struct timespec){0}, NULL); /* so that the box runs empty now and then */
    }
    return NULL;
}

/* False when no bell rang for PATIENCE_S: a wake was lost. */
static bool wait_for_bell(struct post *post) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return sem_timedwait(&post->bell, &until) == 0;
}

/* Every letter comes, in its sender's order, and each filling of the box rang the bell once. */
static void test_many_senders_lose_nothing_and_keep_their_order(void **state) {
    (void)state;
    struct post post = {.wakes = 0};
    sem_init(&post.bell, 0, 0);
    mailbox_init(&post.box, ring, &post);
    struct sender senders[SENDERS];
    for (unsigned s = 0; s < SENDERS; s++) {
        senders[s] = (struct sender){.post = &post, .index = s};
        senders[s].letters = mem_new_array(LETTERS_OF_A_SENDER, sizeof(struct letter));
        assert_int_equal(pthread_create(&senders[s].thread, NULL, send_all, &senders[s]), 0);
    }
    unsigned drains = 0;
    while (seen.count < SENDERS * LETTERS_OF_A_SENDER) {
        assert_true(wait_for_bell(&post));
        drains += mailbox_drain(&post.box);
    }
    for (unsigned s = 0; s < SENDERS; s++) {
        pthread_join(senders[s].thread, NULL);
        mem_free(&senders[s].letters);
    }
    assert_int_equal(seen.count, SENDERS * LETTERS_OF_A_SENDER);
    assert_int_equal(seen.disorder, 0);
    assert_int_equal(atomic_load(&post.wakes), drains);
    sem_destroy(&post.bell);
}

/* Two threads, a box each: one message goes back and forth, carrying plain memory with it. */
struct side {
    struct post post;
    struct mailbox *other;
};

struct ball {
    struct message message;
    struct side *sides[2];
    unsigned hits; /* written by whoever has the ball */
};

static void hit(struct message *message) {
    struct ball *ball = CONTAINER_OF(message, struct ball, message);
    struct side *there = ball->sides[++ball->hits & 1];
    mailbox_send(&there->post.box, message);
}

static void *play(void *context) {
    struct side *side = context;
    for (unsigned i = 0; i < 2000; i++)
        if (!wait_for_bell(&side->post) || !mailbox_drain(&side->post.box))
            return context;
    return NULL;
}

static void test_a_message_carries_its_memory_back_and_forth(void **state) {
    (void)state;
    struct side sides[2];
    struct ball ball = {{NULL, hit}, {&sides[0], &sides[1]}, 0};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        sides[i].post.wakes = 0;
        sem_init(&sides[i].post.bell, 0, 0);
        mailbox_init(&sides[i].post.box, ring, &sides[i].post);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, play, &sides[i]), 0);
    mailbox_send(&sides[0].post.box, &ball.message);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(ball.hits, 4000);
    for (int i = 0; i < 2; i++)
        sem_destroy(&sides[i].post.bell);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_an_empty_box_has_nothing, forget),
        cmocka_unit_test_setup(test_the_oldest_comes_first, forget),
        cmocka_unit_test_setup(test_a_burst_costs_one_wake, forget),
        cmocka_unit_test_setup(test_a_message_may_be_sent_again_from_its_receiver, forget),
        cmocka_unit_test_setup(test_many_senders_lose_nothing_and_keep_their_order, forget),
        cmocka_unit_test_setup(test_a_message_carries_its_memory_back_and_forth, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
