/* /metrics: Prometheus text, or OpenMetrics when the Accept header asks for it. */
#include "api/handlers.h"
#include "api/rest.h"

/* Does the Accept header list OpenMetrics with a q above 0? Prometheus lists what it wants first.
 */
static bool wants_openmetrics(struct str accept) {
    struct str part;
    while (str_split(&accept, ',', &part)) {
        struct str parameter;
        struct str media = {NULL, 0};
        bool excluded = false;
        while (str_split(&part, ';', &parameter)) {
            parameter = str_trim(parameter);
            if (!media.p)
                media = parameter;
            else if (str_eq(parameter, STR("q=0")) || str_eq(parameter, STR("q=0.0")))
                excluded = true;
        }
        if (!excluded && str_eq_nocase(media, STR("application/openmetrics-text")))
            return true;
    }
    return false;
}

void handle_metrics_page(struct call *call) {
    bool openmetrics = wants_openmetrics(http_header_find(&call->exchange->request, STR("Accept")));
    metrics_write(call->loop->service->metrics, openmetrics, call_body(call));
    rest_respond(call, 200,
                 openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                             : "text/plain; version=0.0.4; charset=utf-8");
}
