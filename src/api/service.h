/* The service: what answers on the listeners. One struct service a process, one struct api_loop a
 * loop; an api_loop is touched by its loop's thread only and learns of the world by messages
 * (catalogs, tokens, drain). The handler of the net layer is `service_handler`; its context is one
 * of the loop's doors. */
#pragma once

#include "base/arena.h"
#include "base/id.h"
#include "base/list.h"
#include "base/workers.h"
#include "batch/batch.h"
#include "model/manager.h"
#include "net/listener.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "protocol/v2_infer.h"

enum door { DOOR_DATA = 1, DOOR_MANAGEMENT = 2, DOOR_GRPC = 4 }; /* listeners, as a mask */

struct service_options {
    const char *server_name; /* "inferd" */
    const char *version;
    enum ready_policy ready_policy;
    const char *const *ready_models; /* READY_LIST */
    size_t ready_model_count;
    bool admin_configured; /* a token file for admin calls was given */
    bool admin_on_data;    /* load and unload answer on the data listener too */
    bool data_token_required;
    const char *const *cors_origins; /* "*" or origins; none: CORS is off */
    size_t cors_origin_count;
    uint64_t message_bytes_max;     /* of a gRPC message, as sent */
    uint64_t stream_window_bytes;   /* what an HTTP/2 client may send before it is taken */
    uint64_t inflated_bytes_max;    /* of a compressed body */
    uint64_t tensor_bytes_max;      /* memory of one request's tensors */
    uint64_t loop_parse_bytes_max;  /* larger messages are read and written by the workers */
    uint64_t response_bytes_max;    /* JSON part of a response */
    uint64_t request_timeout_ns;    /* 0: none */
    uint64_t compression_bytes_min; /* smaller answers are not compressed */
    uint64_t compression_bytes_max; /* nor are larger ones: it would hold up the loop */
    bool compression;
    bool log_access;
    bool log_health; /* health and metrics requests too */
    enum v2_nonfinite nonfinite;
};

struct service {
    struct service_options options;
    struct model_manager *manager;
    struct workers *workers; /* NULL: loops do everything themselves */
    struct metrics *metrics;
    struct log *log;
    const struct clock *clock;
    _Atomic bool draining; /* set on SIGTERM; from then on not ready */
    _Atomic bool started;  /* the first loads have all ended, well or not */
    struct metric_group *process;
    uint32_t shard_count;
};

struct body_buffer;

/* A listener of a loop, as the handler's context. */
struct api_door {
    struct api_loop *loop;
    enum door door;
};

struct api_loop {
    struct service *service;
    struct loop *loop;
    struct api_door data, grpc, management; /* a data loop has two, the control loop one */
    uint32_t shard;
    struct catalog *catalog; /* NULL until the first one arrives */
    struct batch_turn *turn; /* NULL on the management listener, which runs no inference */
    struct log_ring *ring;
    struct body_buffer *spare_buffers;
    uint32_t spare_buffer_count;
    struct list streams;        /* gRPC streams that are open */
    bool closing;               /* the drain has come to closing connections */
    char refusal_id[ID_SIZE];   /* of the newest answer that net made itself */
    struct arena refusal_arena; /* ditto, its texts */
    char *admin_token;          /* NULL: not configured or not readable */
    char *data_token;
};

extern const struct http_handler service_handler;

/* `runs_models`: a data loop; else the control loop. Thread: before the loop runs. The catalog
 * arrives by api_loop_send_catalog. */
void api_loop_init(struct api_loop *loop, struct service *service, struct loop *event_loop,
                   bool runs_models, uint32_t shard);
/* Thread: after the loop ended. */
void api_loop_done(struct api_loop *loop);
/* The loop's turn_end: runs what the turn brought. True: some of it is left for the next turn.
 * Thread: loop. */
bool api_loop_turn_end(void *api_loop);

/* Thread: any. The loop takes its own reference. */
void api_loop_send_catalog(struct api_loop *loop, struct catalog *catalog);
/* Thread: any. NULL: none. The texts are copied. */
void api_loop_send_tokens(struct api_loop *loop, const char *admin, const char *data);

/* Thread: any. Tells of the drain: readiness has changed (service->draining), and, when `closing`,
 * long-lived streams end once they are quiet. */
void api_loop_send_drain(struct api_loop *loop, bool closing);

/* Is the service ready? Appends the array of what is missing. Thread: the one that owns `catalog`.
 */
bool service_ready(const struct service *service, const struct catalog *catalog,
                   struct buffer *missing);
/* The same without the list. */
bool service_is_ready(const struct service *service, const struct catalog *catalog);
/* True when every version that should load has become READY or FAILED. Pure. */
bool catalog_settled(const struct catalog *catalog);
