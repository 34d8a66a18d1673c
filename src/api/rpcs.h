/* What grpc_routes.def names. Each answers its call, now or later, exactly once; inference is
 * handle_infer, as with REST. Thread: the call's loop. */
#pragma once

#include "api/handlers.h"

#define rpc_infer handle_infer

void rpc_stream_infer(struct call *call);
void rpc_server_live(struct call *call);
void rpc_server_ready(struct call *call);
void rpc_model_ready(struct call *call);
void rpc_server_metadata(struct call *call);
void rpc_model_metadata(struct call *call);
void rpc_model_config(struct call *call);
void rpc_model_statistics(struct call *call);
void rpc_repository_index(struct call *call);
void rpc_repository_load(struct call *call);
void rpc_repository_unload(struct call *call);
void rpc_shared_memory(struct call *call);
void rpc_settings(struct call *call);
void rpc_health_check(struct call *call);
void rpc_health_watch(struct call *call);
void rpc_reflection(struct call *call);
