/* Latency against throughput as an SVG picture: a line for each percentile that the samples allow,
 * a point for each step, its number of connections (or its rate) beside it. Pure. */
#pragma once

#include "load/report.h"

/* Steps are joined in their order. Nothing but the frame is drawn when no percentile may be said.
 */
void plot_write_svg(const struct report *report, struct buffer *out);
