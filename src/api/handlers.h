/* What routes.def names. Each handler answers its call, now or later, exactly once. Thread: the
 * call's loop. */
#pragma once

struct call;
struct http_sent;

void handle_infer(struct call *call);
void handle_live(struct call *call);
void handle_ready(struct call *call);
void handle_startup(struct call *call);
void handle_metrics_page(struct call *call);
void handle_server_metadata(struct call *call);
void handle_model_metadata(struct call *call);
void handle_model_ready(struct call *call);
void handle_model_config(struct call *call);
void handle_statistics(struct call *call);
void handle_repository_index(struct call *call);
void handle_repository_load(struct call *call);
void handle_repository_unload(struct call *call);

/* The response of an inference is out (or dropped): metrics, statistics, references. */
void infer_finished(struct call *call, const struct http_sent *sent);
/* The peer went away while the call waits for a model. */
void infer_cancelled(struct call *call);
