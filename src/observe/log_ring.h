/* A thread's ring of log lines and the state it shares with the writer. Private to the layer.
 *
 * Bytes are numbered from the start of time; byte i lies at i % LOG_RING_BYTES. A line is written
 * at one stretch: past the end it runs into LOG_LINE_MAX spare bytes, and log_end copies that part
 * to the front. So there are no marks and no lost ends: [tail, head) is plain text of whole lines.
 */
#pragma once

#include "observe/log.h"

#include <stdalign.h>
#include <stdatomic.h>

enum { LOG_RING_BYTES = 256 * 1024, LOG_SECOND_TEXT = 20 };

enum log_writer_state {
    LOG_WRITER_AWAKE,
    LOG_WRITER_DOZING,  /* between two rounds under load: woken early by a ring half full */
    LOG_WRITER_SLEEPING /* nothing to do: woken by the first line */
};

struct log_ring {
    /* The producer's. */
    struct log *log;
    uint64_t seen_tail; /* tail when it was last read */
    uint64_t second;    /* the second that `second_text` is of */
    char second_text[LOG_SECOND_TEXT];
    bool open; /* between log_begin and log_end */
    struct log_ring *next;
    /* Shared. head: stored by log_end, read by the writer; tail: the other way round. */
    alignas(64) _Atomic uint64_t head;
    _Atomic uint64_t dropped;
    alignas(64) _Atomic uint64_t tail;
    alignas(64) char data[LOG_RING_BYTES + LOG_LINE_MAX];
};

struct log {
    int fd;
    int wake_fd; /* eventfd: to the writer */
    int done_fd; /* eventfd: from the writer, at its end */
    const struct clock *clock;
    _Atomic int level;
    _Atomic int state; /* enum log_writer_state; seq_cst against head: see log_end and nap */
    _Atomic bool stopping;
    _Atomic uint64_t written;
    _Atomic uint64_t lost; /* lines that the descriptor refused */
    _Atomic(struct log_ring *)
        rings; /* newest first; pairs: log_ring_new (release), writer (acquire) */
    struct log_writer *writer;
};

void log_wake(struct log *log); /* Thread: any */
