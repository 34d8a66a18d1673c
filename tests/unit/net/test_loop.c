// The loop: threads, messages, turns and timers.
#include "net_support.h"

#include "base/check.h"
#include "base/num.h"
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct context {
    struct loop *loop;
    unsigned received;
    unsigned turns;
    unsigned received_at_turn; /* as turn_end saw it */
    bool sent;
    bool missed; /* a turn ended without what was sent in it */
};

struct note {
    struct message message;
    struct context *context;
    bool stop;
};

static void on_note(struct message *message) {
    struct note *note = CONTAINER_OF(message, struct note, message);
    note->context->received++;
    if (note->stop)
        loop_stop(note->context->loop);
}

static bool on_turn_end(void *context_at) {
    struct context *context = context_at;
    context->turns++;
    context->received_at_turn = context->received;
    context->missed = context->missed || (context->sent && context->received == 0);
    return false;
}

static void send_note(struct note *note, struct context *context) {
    note->message.receive = on_note;
    note->context = context;
    mailbox_send(loop_mailbox(context->loop), &note->message);
}

static struct loop *context_loop(struct context *context) {
    context->loop = loop_new(&(struct loop_options){
        .name = "a name that is too long", .turn_end = on_turn_end, .context = context});
    return context->loop;
}

struct backlog {
    struct loop *loop;
    unsigned turns_left;
};

static bool work_off(void *context) {
    struct backlog *backlog = context;
    if (backlog->turns_left == 0)
        return false; /* nothing was asked of it yet */
    if (--backlog->turns_left == 0) {
        loop_stop(backlog->loop);
        return false;
    }
    return true;
}

static void begin_backlog(struct loop_timer *timer) {
    struct backlog *backlog = (struct backlog *)(void *)(timer + 1);
    backlog->turns_left = 5;
}

static void test_a_turn_that_left_work_behind_is_followed_by_another(void **state) {
    (void)state;
    /* One event, the timer: without turns that follow at once the loop never stops. */
    struct {
        struct loop_timer timer;
        struct backlog backlog;
    } both = {0};
    both.backlog.loop =
        loop_new(&(struct loop_options){.turn_end = work_off, .context = &both.backlog});
    loop_timer_start(both.backlog.loop, &both.timer, loop_now_ns(both.backlog.loop) + 1000000,
                     begin_backlog);
    loop_run(both.backlog.loop);
    assert_int_equal(both.backlog.turns_left, 0);
    loop_free(&both.backlog.loop);
}

static void test_receives_messages_before_the_turn_ends(void **state) {
    (void)state;
    struct context context = {0};
    struct loop *loop = context_loop(&context);
    struct note notes[3] = {{.stop = false}, {.stop = false}, {.stop = true}};
    for (int i = 0; i < 3; i++)
        send_note(&notes[i], &context);
    loop_run(loop); /* what was sent before the start is received too */
    assert_int_equal(context.received, 3);
    assert_int_equal(context.received_at_turn, 3);
    loop_free(&loop);
    assert_null(loop);
}

struct sender {
    struct loop_timer timer;
    struct note note;
    struct context context;
};

static void on_send(struct loop_timer *timer) {
    struct sender *sender = CONTAINER_OF(timer, struct sender, timer);
    sender->context.sent = true;
    send_note(&sender->note, &sender->context);
}

static void test_receives_what_a_callback_of_the_turn_sends(void **state) {
    (void)state;
    struct sender sender = {.note.stop = true};
    struct loop *loop = context_loop(&sender.context);
    loop_timer_start(loop, &sender.timer, 1, on_send);
    loop_run(loop);
    assert_int_equal(sender.context.received, 1);
    assert_false(sender.context.missed);
    loop_free(&loop);
}

static void *send_many(void *context) {
    struct note *notes = context;
    for (int i = 0; i < 1000; i++)
        send_note(&notes[i], notes[i].context);
    return NULL;
}

static void test_receives_messages_of_many_threads(void **state) {
    (void)state;
    struct context context = {0};
    struct loop *loop = context_loop(&context);
    loop_start(loop);
    struct note *notes = calloc(4000, sizeof *notes);
    pthread_t threads[4];
    for (int i = 0; i < 4000; i++)
        notes[i].context = &context;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, send_many, notes + (ptrdiff_t)1000 * i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    loop_stop(loop);
    loop_join(loop);
    assert_int_equal(context.received, 4000);
    loop_free(&loop);
    free(notes);
}

enum { TIMERS = 200 };

struct timers {
    struct context context;
    struct loop_timer timers[TIMERS];
    uint64_t last_ns;
    unsigned fired;
    unsigned expected;
};

static struct timers *under_test;

static void on_fire(struct loop_timer *timer) {
    struct timers *timers = under_test;
    uint64_t now = clock_now(&clock_real);
    assert_null(timer->loop);
    assert_true(now >= timer->at_ns);
    assert_true(timer->at_ns >= timers->last_ns);
    timers->last_ns = timer->at_ns;
    if (++timers->fired == timers->expected)
        loop_stop(timers->context.loop);
}

static void test_fires_timers_in_order_and_not_those_stopped(void **state) {
    (void)state;
    struct timers timers = {.expected = 0};
    under_test = &timers;
    struct loop *loop = context_loop(&timers.context);
    uint64_t start = clock_now(&clock_real);
    srand(7);
    for (int i = 0; i < TIMERS; i++) {
        loop_timer_start(loop, &timers.timers[i], start + (uint64_t)(rand() % 30000) * NS_PER_US,
                         on_fire);
    }
    for (int i = 0; i < TIMERS; i += 3) {
        loop_timer_stop(&timers.timers[i]);
        loop_timer_stop(&timers.timers[i]); /* stopping twice is fine */
        if (i % 2 == 0) {                   /* started again, twice */
            loop_timer_start(loop, &timers.timers[i], start + 50 * TEST_MS, on_fire);
            loop_timer_start(loop, &timers.timers[i], start + 40 * TEST_MS, on_fire);
        }
    }
    for (int i = 0; i < TIMERS; i++)
        timers.expected += timers.timers[i].loop != NULL;
    loop_run(loop);
    assert_int_equal(timers.fired, timers.expected);
    assert_true(timers.context.turns > 0);
    loop_free(&loop);
}

static void test_fires_within_a_fraction_of_a_millisecond(void **state) {
    (void)state;
    struct timers timers = {.expected = 20};
    under_test = &timers;
    struct loop *loop = context_loop(&timers.context);
    uint64_t start = clock_now(&clock_real);
    for (unsigned i = 0; i < 20; i++) {
        loop_timer_start(loop, &timers.timers[i], start + (i + 1) * 100 * (uint64_t)NS_PER_US,
                         on_fire);
    }
    loop_run(loop);
    uint64_t taken = clock_now(&clock_real) - start;
    assert_in_range(taken, 2 * TEST_MS, 200 * TEST_MS);
    loop_free(&loop);
}

static void test_a_timer_in_the_past_fires_in_the_next_turn(void **state) {
    (void)state;
    struct timers timers = {.expected = 1};
    under_test = &timers;
    struct loop *loop = context_loop(&timers.context);
    loop_timer_start(loop, &timers.timers[0], 1, on_fire);
    loop_timer_start(loop, &timers.timers[1], clock_now(&clock_real) + 3600 * 1000 * TEST_MS,
                     on_fire);
    loop_run(loop);
    assert_int_equal(timers.fired, 1);
    loop_free(&loop);
    assert_null(timers.timers[1].loop);
}

static void test_stops_before_it_runs_and_runs_again(void **state) {
    (void)state;
    struct context context = {0};
    struct loop *loop = context_loop(&context);
    loop_stop(loop);
    loop_run(loop);
    loop_start(loop);
    loop_stop(loop);
    loop_join(loop);
    loop_free(&loop);
    loop_free(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receives_messages_before_the_turn_ends),
        cmocka_unit_test(test_a_turn_that_left_work_behind_is_followed_by_another),
        cmocka_unit_test(test_receives_what_a_callback_of_the_turn_sends),
        cmocka_unit_test(test_receives_messages_of_many_threads),
        cmocka_unit_test(test_fires_timers_in_order_and_not_those_stopped),
        cmocka_unit_test(test_fires_within_a_fraction_of_a_millisecond),
        cmocka_unit_test(test_a_timer_in_the_past_fires_in_the_next_turn),
        cmocka_unit_test(test_stops_before_it_runs_and_runs_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
