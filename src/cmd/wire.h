/* From the configuration to the parts' own options: the only place that knows both. Pure, but for read_options. */
#pragma once

#include "api/service.h"
#include "config/config.h"
#include "net/tls.h"

struct http_limits wire_limits(const struct server_config *config);
struct service_options wire_service(const struct server_config *config);
struct model_options wire_model_defaults(const struct server_config *config);
bool wire_tls(const struct server_config *config, enum door door, struct tls_options *ret); /* false: plain */

/* Fills everything but engine, pool, metrics, log, clock, publish and context. `context` of the two callbacks must be
 * the struct server_config. */
struct model_manager_options wire_manager(const struct server_config *config);
