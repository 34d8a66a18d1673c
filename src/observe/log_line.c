/* Writing a log line into its ring: the side of the threads that serve.
 *
 * Why by hand: an access line has some fifteen fields and one is written for each request;
 * formatted straight into the ring it costs a few hundred nanoseconds, and no lock, allocation or
 * system call. A field is written whole or not at all, so a line is well-formed JSON wherever it is
 * cut. Thread: the ring's owner. The ring has one producer (here) and one consumer (log.c).
 */
#include "observe/log_ring.h"

#include "base/check.h"
#include "base/json.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>

static const char line_end[] = "}\n";
static const char line_end_cut[] = ",\"cut\":true}\n";

enum { INTEGER_MAX = 20 };

static const char *const level_names[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

static void put(struct log_line *line, const char *p, size_t n) {
    memcpy(line->at, p, n);
    line->at += n;
}

/* The date and the time to the second are made once a second. */
static void put_time(struct log_line *line, struct log_ring *ring) {
    uint64_t now = ring->log->clock->wall_ns(ring->log->clock);
    uint64_t second = now / NS_PER_S;
    if (second != ring->second || ring->second_text[0] == '\0') {
        char text[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(now, text);
        memcpy(ring->second_text, text, sizeof ring->second_text);
        ring->second = second;
    }
    put(line, ring->second_text, sizeof ring->second_text);
    uint32_t micros = (uint32_t)(now % NS_PER_S / NS_PER_US);
    for (int i = 5; i >= 0; i--) {
        line->at[i] = (char)('0' + micros % 10);
        micros /= 10;
    }
    line->at[6] = 'Z';
    line->at += 7;
}

/* Room for a whole line? `tail` is read again only when the last look at it says no. */
static bool ring_has_room(struct log_ring *ring, uint64_t head) {
    if (LOG_RING_BYTES - (head - ring->seen_tail) >= LOG_LINE_MAX)
        return true;
    ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return LOG_RING_BYTES - (head - ring->seen_tail) >= LOG_LINE_MAX;
}

void log_begin(struct log_line *line, struct log_ring *ring, enum log_level level,
               const char *event) {
    line->ring = NULL;
    CHECK(level < LOG_LEVEL_COUNT);
    if ((int)level < atomic_load_explicit(&ring->log->level, memory_order_relaxed))
        return;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ANOMALY(ring->open) || !ring_has_room(ring, head)) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    ring->open = true;
    line->ring = ring;
    line->start = line->at = ring->data + head % LOG_RING_BYTES;
    line->limit = line->start + LOG_LINE_MAX - (sizeof line_end_cut - 1);
    line->cut = false;
    static const char before_time[] = "{\"time\":\"", before_level[] = "\",\"level\":\"";
    put(line, before_time, sizeof before_time - 1);
    put_time(line, ring);
    put(line, before_level, sizeof before_level - 1);
    put(line, level_names[level], strlen(level_names[level]));
    put(line, "\"", 1);
    log_c(line, "event", event);
}

/* `,"key":` when that and `more` bytes of value fit. */
static bool put_key(struct log_line *line, const char *key, size_t more) {
    if (!line->ring)
        return false;
    size_t n = strlen(key);
    if (n + 4 + more > (size_t)(line->limit - line->at)) {
        line->cut = true;
        return false;
    }
    put(line, ",\"", 2);
    put(line, key, n);
    put(line, "\":", 2);
    return true;
}

void log_str(struct log_line *line, const char *key, struct str value) {
    static const char dots[] = "...";
    enum { AROUND = 2 + sizeof dots - 1 }; /* quotes and "..." */
    if (!value.p || !put_key(line, key, AROUND))
        return;
    *line->at++ = '"';
    size_t room = (size_t)(line->limit - line->at) - (AROUND - 1);
    const char *end = line->at + MIN(room, (size_t)LOG_VALUE_MAX);
    while (value.n > 0) {
        size_t most = MIN(value.n, (size_t)(end - line->at));
        size_t plain = json_plain_length((struct str){value.p, most});
        put(line, value.p, plain);
        value = (struct str){value.p + plain, value.n - plain};
        char escaped[JSON_ESCAPE_MAX];
        struct str rest = value;
        size_t n = rest.n > 0 ? json_escape_one(&rest, escaped) : 0;
        if (n > (size_t)(end - line->at))
            break;
        put(line, escaped, n);
        value = rest;
    }
    if (value.n > 0) {
        put(line, dots, sizeof dots - 1);
        line->cut |= room < LOG_VALUE_MAX;
    }
    *line->at++ = '"';
}

void log_c(struct log_line *line, const char *key, const char *value) {
    log_str(line, key, str_of(value));
}

static void put_digits(struct log_line *line, uint64_t value) {
    char digits[INTEGER_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(line, digits + at, sizeof digits - at);
}

void log_u64(struct log_line *line, const char *key, uint64_t value) {
    if (put_key(line, key, INTEGER_MAX))
        put_digits(line, value);
}

void log_i64(struct log_line *line, const char *key, int64_t value) {
    if (!put_key(line, key, INTEGER_MAX + 1))
        return;
    if (value < 0)
        *line->at++ = '-';
    put_digits(line, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void log_f64(struct log_line *line, const char *key, double value, int decimals) {
    static const uint32_t powers[] = {1,      10,      100,      1000,      10000,
                                      100000, 1000000, 10000000, 100000000, 1000000000};
    enum { FLOAT_MAX = 32 };
    CHECK(decimals >= 0 && decimals < (int)ARRAY_LEN(powers));
    if (!put_key(line, key, FLOAT_MAX))
        return;
    double scaled = fabs(value) * powers[decimals] + 0.5;
    if (!isfinite(value)) {
        put(line, "null", 4);
    } else if (scaled >= 0x1p53) {
        line->at += snprintf(line->at, FLOAT_MAX, "%.17g", value);
    } else {
        uint64_t all = (uint64_t)scaled;
        if (value < 0 && all > 0)
            *line->at++ = '-';
        put_digits(line, all / powers[decimals]);
        if (decimals > 0)
            *line->at++ = '.';
        uint32_t fraction = (uint32_t)(all % powers[decimals]);
        for (int i = decimals - 1; i >= 0; i--) {
            line->at[i] = (char)('0' + fraction % 10);
            fraction /= 10;
        }
        line->at += decimals;
    }
}

void log_bool(struct log_line *line, const char *key, bool value) {
    if (put_key(line, key, 5))
        put(line, value ? "true" : "false", value ? 4 : 5);
}

static void wake_writer(struct log_ring *ring, uint64_t head) {
    int state = atomic_load_explicit(&ring->log->state, memory_order_seq_cst);
    if (state == LOG_WRITER_AWAKE)
        return;
    if (state == LOG_WRITER_DOZING) {
        if (head - ring->seen_tail <= LOG_RING_BYTES / 2)
            return;
        ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head - ring->seen_tail <= LOG_RING_BYTES / 2)
            return;
    }
    log_wake(ring->log);
}

/* Gives the line to the writer. `head` is stored and `state` read in one order that all threads see
 * (seq_cst; pairs with the writer, which stores `state` and then reads the heads): of a line that
 * comes as the writer falls asleep, one of the two sides takes notice. */
void log_end(struct log_line *line) {
    struct log_ring *ring = line->ring;
    if (!ring)
        return;
    line->ring = NULL;
    if (line->cut)
        put(line, line_end_cut, sizeof line_end_cut - 1);
    else
        put(line, line_end, sizeof line_end - 1);
    size_t n = (size_t)(line->at - line->start);
    CHECK(n <= LOG_LINE_MAX);
    size_t from = (size_t)(line->start - ring->data);
    if (from + n > LOG_RING_BYTES)
        memcpy(ring->data, ring->data + LOG_RING_BYTES, from + n - LOG_RING_BYTES);
    ring->open = false;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed) + n;
    atomic_store_explicit(&ring->head, head, memory_order_seq_cst);
    wake_writer(ring, head);
}
