/* From the configuration to the parts' own options: the only place that knows both. */
#pragma once

#include "api/service.h"
#include "config/config.h"
#include "net/tls.h"

struct http_limits wire_limits(const struct server_config *config);
struct service_options wire_service(const struct server_config *config);
bool wire_tls(const struct server_config *config, enum door door,
              struct tls_options *ret); /* false: plain */

/* The repository's part; engine, pool, metrics, log, clock, callbacks and context are the caller's
 * to fill in. */
struct model_manager_options wire_manager(const struct server_config *config);

/* Reads <model_dir>/model.yaml over the server's defaults. ERR_INVALID lists every problem. Thread:
 * manager. */
enum err wire_read_model_options(const struct server_config *config, const char *model_dir,
                                 struct model_options *ret, struct err_text *text) MUST_CHECK;
void wire_free_model_options(struct model_options *options);

/* A recorded request as the v2 protocol reads it. Thread: manager's, or one that it waits for. */
enum err wire_read_request(const struct server_config *config, const struct recorded_body *body,
                           const struct signature *signature, struct recorded_request *ret,
                           struct err_text *text) MUST_CHECK;
