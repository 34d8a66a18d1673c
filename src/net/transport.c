/* Bytes between a connection and its socket, plain or through TLS. Reads go straight into the
 * connection's growing input; writes are tried at once, and only what the socket does not take is
 * queued in libuv. TLS records are built in a buffer of the loop, sent at once, and copied only
 * when the socket is full; a long answer is encrypted in steps, so that it is never in memory twice
 * as a whole. */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdlib.h>
#include <sys/socket.h>

enum {
    TLS_STEP_BYTES = 262144,  /* encrypted before the socket is asked again */
    TLS_RECORD_BYTES = 16384, /* small parts are joined up to this */
};

struct copied_write {
    uv_write_t request;
    char bytes[];
};

int transport_fd(const struct connection *connection) {
    uv_os_fd_t fd = -1;
    uv_fileno((const uv_handle_t *)&connection->tcp, &fd);
    return fd;
}

static uv_stream_t *stream_of(struct connection *connection) {
    return (uv_stream_t *)&connection->tcp;
}

/* What is read now belongs to a later request. */
static bool waits(const struct connection *connection) {
    return connection->state == CONNECTION_HANDLER || connection->state == CONNECTION_HELD ||
           connection->state == CONNECTION_WRITE;
}

/* Makes room behind the input; sets where and how much. False: no memory. What a Content-Length
 * claims is believed only as bytes arrive: the block doubles. */
static bool input_room(struct connection *connection, char **ret_at, size_t *ret_room) {
    struct block *in = &connection->in;
    size_t capacity = in->capacity;
    size_t room = capacity > in->used + CONNECTION_SPARE_BYTES
                      ? capacity - in->used - CONNECTION_SPARE_BYTES
                      : 0;
    if (capacity == 0 || room == 0 || (room < capacity / 4 && !waits(connection))) {
        size_t wish = MAX(capacity * 2, (size_t)BLOCK_BYTES_MIN);
        size_t whole = connection->exchange ? http1_message_bytes(&connection->exchange->codec) : 0;
        if (whole && !connection->exchange->delivered)
            wish = MIN(wish, whole + CONNECTION_SPARE_BYTES);
        if (wish > capacity && !block_try_grow(&connection->loop->blocks, in, wish))
            return false;
        room = in->capacity - in->used - CONNECTION_SPARE_BYTES;
    }
    *ret_at = in->data + in->used;
    *ret_room = room;
    return room > 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct connection *connection = handle->data;
    (void)suggested;
    if (connection->tls || connection->h2 || connection->state == CONNECTION_LINGER) {
        *buffer = uv_buf_init(connection->loop->scratch, LOOP_SCRATCH_BYTES);
        return;
    }
    char *at = NULL;
    size_t room = 0;
    if (!input_room(connection, &at, &room)) {
        *buffer = uv_buf_init(NULL, 0);
        return;
    }
    buffer->base = at;
    buffer->len = room;
}

static void input_added(struct connection *connection, size_t n) {
    if (connection->in_since_ns == 0)
        connection->in_since_ns = loop_now_ns(connection->loop);
    connection->in.used += n;
    connection->protocol->run(connection);
}

static void no_memory(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (exchange && !exchange->delivered && !exchange->responded)
        http1_refuse(exchange, ERR_INTERNAL, "no memory for the request");
    else
        connection_close(connection);
}

/* Sends what TLS has written into the loop's buffer. False: the connection is of no use.
 * *ret_pending: some of it waits in libuv's queue. */
static bool flush_tls(struct connection *connection, bool *ret_pending);

static void tls_failed(struct connection *connection) {
    listener_refused(connection->listener,
                     &(struct http_refusal){.err = ERR_INVALID,
                                            .reason = HTTP_REFUSED_TLS,
                                            .text = tls_session_error(connection->tls)});
    connection_close(connection);
}

static void input_encrypted(struct connection *connection, size_t n) {
    tls_session_feed(connection->tls, connection->loop->scratch, n);
    while (connection->state != CONNECTION_CLOSED && connection->state != CONNECTION_LINGER) {
        char *at = NULL;
        size_t room = 0;
        if (!input_room(connection, &at, &room)) {
            no_memory(connection);
            return;
        }
        size_t got = 0;
        bool pending = false;
        enum tls_status status = tls_session_read(connection->tls, at, room, &got);
        if (!flush_tls(connection, &pending)) {
            connection_close(connection);
        } else if (status == TLS_BYTES) {
            input_added(connection, got);
            continue;
        } else if (status == TLS_EOF) {
            connection->protocol->eof(connection);
        } else if (status == TLS_FAILED) {
            tls_failed(connection);
        }
        break;
    }
    if (connection->in.used == 0)
        block_give(&connection->loop->blocks, &connection->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    struct connection *connection = stream->data;
    if (n > 0 && connection->state == CONNECTION_LINGER) {
        connection->skip_bytes += (uint64_t)n;
        if (connection->skip_bytes > CONNECTION_LINGER_BYTES_MAX)
            connection_close(connection);
    } else if (n > 0 && connection->tls) {
        input_encrypted(connection, (size_t)n);
    } else if (n > 0 && connection->h2 && buffer->base == connection->loop->scratch) {
        http2_input(connection, buffer->base, (size_t)n);
    } else if (n > 0) {
        input_added(connection, (size_t)n);
    } else if (n == UV_ENOBUFS) {
        no_memory(connection);
    } else if (n == UV_EOF) {
        connection->protocol->eof(connection);
    } else if (n < 0) {
        connection_close(connection);
    }
    if (connection->in.used == 0 && !connection->running)
        block_give(&connection->loop->blocks, &connection->in);
}

void transport_start_reading(struct connection *connection) {
    if (!connection->reading && !connection->eof && connection->state != CONNECTION_CLOSED) {
        connection->reading = true;
        CHECK(uv_read_start(stream_of(connection), on_alloc, on_read) == 0);
    }
}

void transport_stop_reading(struct connection *connection) {
    if (connection->reading) {
        connection->reading = false;
        uv_read_stop(stream_of(connection));
    }
}

void transport_adjust_reading(struct connection *connection) {
    if (connection->h2) {
        if (http2_reads(connection))
            transport_start_reading(connection);
        else
            transport_stop_reading(connection);
    } else if (waits(connection) &&
               connection->in.used >= CONNECTION_AHEAD_BYTES_MAX - CONNECTION_SPARE_BYTES) {
        transport_stop_reading(connection);
    } else {
        transport_start_reading(connection);
    }
}

/* Takes `n` bytes off the front. */
static void advance(uv_buf_t **buffers, size_t *count, size_t n) {
    while (*count > 0 && n >= (*buffers)->len) {
        n -= (*buffers)->len;
        (*buffers)++;
        (*count)--;
    }
    if (n > 0) {
        CHECK(*count > 0);
        (*buffers)->base += n;
        (*buffers)->len -= n;
    }
}

static void on_written(uv_write_t *request, int status) {
    struct connection *connection = request->data;
    connection->protocol->written(connection, status == 0);
}

/* What is left of the answer moves into the exchange's arena, but for the parts themselves. */
static void keep_rest(struct connection *connection, uv_buf_t *buffers, size_t count) {
    const struct buffer *head = &connection->loop->head;
    struct arena *arena = &connection->exchange->http.arena;
    connection->out = arena_new(arena, count * sizeof *buffers);
    memcpy(connection->out, buffers, count * sizeof *buffers);
    connection->out_count = count;
    if (count > 0 && buffers[0].base >= head->data && buffers[0].base < head->data + head->used) {
        connection->out[0].base = arena_new(arena, buffers[0].len);
        memcpy(connection->out[0].base, buffers[0].base, buffers[0].len);
    }
}

static enum transport_status send_plain(struct connection *connection, uv_buf_t *buffers,
                                        size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += buffers[i].len;
    int n = uv_try_write(stream_of(connection), buffers, (unsigned)count);
    if (n >= 0 && (size_t)n == total)
        return TRANSPORT_SENT;
    if (n < 0 && n != UV_EAGAIN)
        return TRANSPORT_FAILED;
    advance(&buffers, &count, n > 0 ? (size_t)n : 0);
    keep_rest(connection, buffers, count);
    connection->write.data = connection;
    int failed = uv_write(&connection->write, stream_of(connection), connection->out,
                          (unsigned)connection->out_count, on_written);
    return failed ? TRANSPORT_FAILED : TRANSPORT_PENDING;
}

/* Encrypts one step of the answer into the loop's buffer. */
static bool encrypt_step(struct connection *connection, uv_buf_t **buffers, size_t *count) {
    char record[TLS_RECORD_BYTES];
    size_t done = 0;
    while (*count > 0 && done < TLS_STEP_BYTES) {
        if ((*buffers)->len >= sizeof record) {
            if (!tls_session_write(connection->tls, (*buffers)->base, sizeof record))
                return false;
            advance(buffers, count, sizeof record);
            done += sizeof record;
            continue;
        }
        size_t used = 0;
        while (*count > 0 && used < sizeof record) {
            size_t n = MIN((*buffers)->len, sizeof record - used);
            memcpy(record + used, (*buffers)->base, n);
            used += n;
            advance(buffers, count, n);
        }
        if (!tls_session_write(connection->tls, record, used))
            return false;
        done += used;
    }
    return true;
}

static enum transport_status send_tls(struct connection *connection, uv_buf_t *buffers,
                                      size_t count) {
    while (count > 0) {
        bool pending = false;
        if (!encrypt_step(connection, &buffers, &count) || !flush_tls(connection, &pending))
            return TRANSPORT_FAILED;
        if (pending) {
            keep_rest(connection, buffers, count);
            return TRANSPORT_PENDING;
        }
    }
    return TRANSPORT_SENT;
}

static void on_written_copied(uv_write_t *request, int status) {
    struct copied_write *write = CONTAINER_OF(request, struct copied_write, request);
    struct connection *connection = request->data;
    free(write);
    bool writing =
        (connection->state == CONNECTION_WRITE || connection->state == CONNECTION_H2_WRITE) &&
        uv_stream_get_write_queue_size(stream_of(connection)) == 0;
    if (status == 0 && !writing)
        return; /* the handshake's, or more is queued behind it */
    if (status == 0 && connection->out_count > 0) {
        connection_set_state(connection, CONNECTION_WRITE);
        switch (send_tls(connection, connection->out, connection->out_count)) {
        case TRANSPORT_PENDING:
            return;
        case TRANSPORT_FAILED:
            status = UV_EIO;
            break;
        case TRANSPORT_SENT:
            break;
        }
    }
    connection->protocol->written(connection, status == 0);
}

/* Queues a copy of what the socket did not take. */
static bool queue_copy(struct connection *connection, const uv_buf_t *buffers, size_t count) {
    size_t rest = 0;
    for (size_t i = 0; i < count; i++)
        rest += buffers[i].len;
    struct copied_write *write = mem_resize(NULL, sizeof *write + rest);
    char *to = write->bytes;
    for (size_t i = 0; i < count; i++) {
        memcpy(to, buffers[i].base, buffers[i].len);
        to += buffers[i].len;
    }
    write->request.data = connection;
    uv_buf_t later = {.base = write->bytes, .len = rest};
    bool ok = uv_write(&write->request, stream_of(connection), &later, 1, on_written_copied) == 0;
    if (!ok)
        free(write);
    return ok;
}

static bool flush_tls(struct connection *connection, bool *ret_pending) {
    struct buffer *records = &connection->loop->ciphertext;
    if (records->used == 0)
        return true;
    CHECK(!records->full);
    uv_buf_t all = {.base = records->data, .len = records->used};
    int n = uv_try_write(stream_of(connection), &all, 1);
    size_t sent = n > 0 ? (size_t)n : 0;
    bool ok = n >= 0 || n == UV_EAGAIN;
    if (ok && sent < records->used) {
        all = (uv_buf_t){.base = records->data + sent, .len = records->used - sent};
        ok = queue_copy(connection, &all, 1);
        *ret_pending = ok;
    }
    buffer_clear(records);
    return ok;
}

enum transport_status transport_send(struct connection *connection, uv_buf_t *buffers,
                                     size_t count) {
    return connection->tls ? send_tls(connection, buffers, count)
                           : send_plain(connection, buffers, count);
}

enum transport_status transport_send_copied(struct connection *connection, uv_buf_t *buffers,
                                            size_t count) {
    bool pending = false;
    if (connection->tls) {
        while (count > 0)
            if (!encrypt_step(connection, &buffers, &count) || !flush_tls(connection, &pending))
                return TRANSPORT_FAILED;
        return pending ? TRANSPORT_PENDING : TRANSPORT_SENT;
    }
    int n = uv_try_write(stream_of(connection), buffers, (unsigned)count);
    if (n < 0 && n != UV_EAGAIN)
        return TRANSPORT_FAILED;
    advance(&buffers, &count, n > 0 ? (size_t)n : 0);
    if (count == 0)
        return TRANSPORT_SENT;
    return queue_copy(connection, buffers, count) ? TRANSPORT_PENDING : TRANSPORT_FAILED;
}

bool transport_send_now(struct connection *connection, struct str bytes) {
    if (connection->tls) {
        bool pending = false;
        return tls_session_write(connection->tls, bytes.p, bytes.n) &&
               flush_tls(connection, &pending);
    }
    char copy[64];
    CHECK(bytes.n <= sizeof copy);
    memcpy(copy, bytes.p, bytes.n);
    uv_buf_t buffer = {.base = copy, .len = bytes.n};
    return uv_try_write(stream_of(connection), &buffer, 1) == (int)bytes.n;
}

void transport_goodbye(struct connection *connection) {
    bool pending = false;
    if (connection->tls) {
        tls_session_goodbye(connection->tls);
        flush_tls(connection, &pending);
    }
    if (!pending)
        shutdown(transport_fd(connection), SHUT_WR);
}
