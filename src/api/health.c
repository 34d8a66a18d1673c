/* Liveness, readiness, startup. Live answers 200 as long as the process serves; ready is 503 from
 * SIGTERM on, and while what the policy asks for is missing, naming it. */
#include "api/handlers.h"
#include "api/rest.h"

static const char json_type[] = "application/json";

void handle_live(struct call *call) {
    buffer_add_c(call_body(call), "{\"live\":true}");
    rest_respond(call, 200, json_type);
}

bool service_ready(const struct service *service, const struct catalog *catalog,
                   struct buffer *missing) {
    const struct service_options *options = &service->options;
    if (!catalog) {
        buffer_add_c(missing, "[{\"state\":\"LOADING\",\"reason\":"
                              "\"the model repository has not been read yet\"}]");
        return false;
    }
    bool ready = catalog_ready(catalog, options->ready_policy, options->ready_models,
                               options->ready_model_count, missing);
    /* acquire: pairs with the release of the store at SIGTERM */
    return ready && !atomic_load_explicit(&service->draining, memory_order_acquire);
}

bool service_is_ready(const struct service *service, const struct catalog *catalog) {
    struct buffer missing;
    buffer_init(&missing, service->options.response_bytes_max);
    bool ready = service_ready(service, catalog, &missing);
    buffer_done(&missing);
    return ready;
}

bool catalog_settled(const struct catalog *catalog) {
    if (!catalog->scanned)
        return false;
    for (size_t m = 0; m < catalog->model_count; m++) {
        const struct catalog_model *model = &catalog->models[m];
        if (model->settling)
            return false;
        for (size_t v = 0; v < model->version_count; v++) {
            enum model_state state = model->versions[v].state;
            if (state == MODEL_SETTLING || state == MODEL_LOADING || state == MODEL_WARMING)
                return false;
        }
    }
    return true;
}

void handle_ready(struct call *call) {
    const struct service *service = call->loop->service;
    struct buffer missing;
    buffer_init(&missing, service->options.response_bytes_max);
    bool ready = service_ready(service, call->loop->catalog, &missing);
    struct buffer *body = call_body(call);
    if (ready) {
        buffer_add_c(body, "{\"ready\":true}");
    } else {
        bool draining = atomic_load_explicit(&service->draining, memory_order_acquire);
        buffer_add_c(body, "{\"ready\":false,\"error\":");
        buffer_add_json_string(body, draining ? STR("the server is shutting down")
                                              : STR("not ready: see what is missing"));
        buffer_add_c(body, ",\"missing\":");
        buffer_add_str(body, missing.used && !missing.full ? buffer_str(&missing) : STR("[]"));
        buffer_add_char(body, '}');
    }
    buffer_done(&missing);
    rest_respond(call, ready ? 200 : 503, json_type);
}

void handle_startup(struct call *call) {
    bool started = atomic_load_explicit(&call->loop->service->started, memory_order_acquire);
    buffer_add_c(call_body(call),
                 started ? "{\"started\":true}"
                         : "{\"started\":false,\"error\":\"models are still loading\"}");
    rest_respond(call, started ? 200 : 503, json_type);
}
