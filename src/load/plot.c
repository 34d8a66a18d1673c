/* The latency axis is logarithmic: the steps of a sweep lie decades apart, and so do p50 and p99.
 * The throughput axis begins at zero. Colours are told apart by the colour-blind too, and lines
 * also by their markers. */
#include "load/plot.h"

#include "base/check.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>

enum {
    WIDTH = 920,
    HEIGHT = 560,
    LEFT = 84,
    RIGHT = 60,
    TOP = 84,
    BOTTOM = 64,
    LABELS_MAX = 256,
    TEXT_HEIGHT = 13,
    CHARACTER_WIDTH = 7,
    X_TICKS = 6,
};

static const struct {
    size_t quantile; /* of report_quantiles */
    const char *colour;
} lines[] = {{0, "#0072b2"}, {1, "#009e73"}, {2, "#d55e00"}};

struct box {
    double x, y, width, height;
};

struct plot {
    const struct report *report;
    struct buffer *out;
    double x_max;        /* requests a second */
    double y_min, y_max; /* ns */
    struct box taken[LABELS_MAX];
    size_t taken_count;
};

static bool point_of(const struct report_step *step, size_t quantile, double *ret_ns) {
    uint64_t ns;
    if (!histogram_percentile(&step->total->latency, report_quantiles[quantile].quantile, &ns))
        return false;
    *ret_ns = MAX((double)ns, 1.0);
    return true;
}

static double x_of(const struct plot *plot, double throughput) {
    return LEFT + (WIDTH - LEFT - RIGHT) * throughput / plot->x_max;
}

static double y_of(const struct plot *plot, double ns) {
    double share = log(ns / plot->y_min) / log(plot->y_max / plot->y_min);
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
}

/* The smallest of 1, 2, 5 times a power of ten that is at least `value`. */
static double nice_above(double value) {
    double power = pow(10, floor(log10(value)));
    static const double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i] * power >= value * (1 - 1e-9))
            return steps[i] * power;
    return 10 * power;
}

static void scale(struct plot *plot) {
    double x = 0, least = HUGE_VAL, most = 0, ns;
    for (size_t i = 0; i < plot->report->step_count; i++) {
        const struct report_step *step = &plot->report->steps[i];
        x = MAX(x, result_throughput(step->total));
        for (size_t line = 0; line < ARRAY_LEN(lines); line++)
            if (point_of(step, lines[line].quantile, &ns)) {
                least = MIN(least, ns);
                most = MAX(most, ns);
            }
    }
    if (most == 0) {
        least = 1e5;
        most = 1e6;
    }
    double tick = nice_above(MAX(x, 1.0) / X_TICKS);
    plot->x_max = tick * ceil(MAX(x, 1.0) * 1.02 / tick);
    plot->y_min = least / 1.5;
    plot->y_max = MAX(most * 1.5, plot->y_min * 10);
}

/* ---- text ---- */

static void add_text(struct plot *plot, double x, double y, const char *attributes,
                     const char *text) {
    buffer_add_format(plot->out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    for (; *text; text++)
        switch (*text) {
        case '<':
            buffer_add_c(plot->out, "&lt;");
            break;
        case '&':
            buffer_add_c(plot->out, "&amp;");
            break;
        default:
            buffer_add_char(plot->out, *text >= ' ' && *text < 0x7f ? *text : '?');
        }
    buffer_add_c(plot->out, "</text>\n");
}

static void write_number(double number, char *out, size_t size) {
    if (number >= 1e6)
        snprintf(out, size, "%gM", number / 1e6);
    else if (number >= 1e3)
        snprintf(out, size, "%gk", number / 1e3);
    else
        snprintf(out, size, "%g", number);
}

/* ---- the frame ---- */

static void add_line(struct plot *plot, double x1, double y1, double x2, double y2) {
    buffer_add_format(plot->out,
                      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n",
                      x1, y1, x2, y2);
}

static void add_x_axis(struct plot *plot) {
    double tick = nice_above(plot->x_max / 1.02 / X_TICKS);
    int count = (int)(plot->x_max / tick + 0.5);
    for (int i = 0; i <= count; i++) {
        char text[REPORT_TIME_SIZE];
        double at = i * tick;
        double x = x_of(plot, at);
        write_number(at, text, sizeof text);
        add_line(plot, x, TOP, x, HEIGHT - BOTTOM);
        add_text(plot, x, HEIGHT - BOTTOM + 20, "text-anchor=\"middle\"", text);
    }
    add_text(plot, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 18, "text-anchor=\"middle\"",
             "good answers per second");
}

static void add_y_tick(struct plot *plot, double at) {
    static const char *const units[] = {"ns", "us", "ms", "s"};
    if (at < plot->y_min || at > plot->y_max)
        return;
    int unit = MIN((int)(log10(at) / 3 + 1e-9), (int)ARRAY_LEN(units) - 1);
    char text[REPORT_TIME_SIZE];
    snprintf(text, sizeof text, "%g %s", at / pow(1e3, unit), units[unit]);
    add_line(plot, LEFT, y_of(plot, at), WIDTH - RIGHT, y_of(plot, at));
    add_text(plot, LEFT - 8, y_of(plot, at) + 4, "text-anchor=\"end\"", text);
}

static void add_y_axis(struct plot *plot) {
    static const double steps[] = {1, 2, 5};
    /* Beyond three decades only powers of ten have room. */
    size_t count = plot->y_max / plot->y_min > 1000 ? 1 : ARRAY_LEN(steps);
    int last = (int)floor(log10(plot->y_max));
    for (int power = MAX((int)floor(log10(plot->y_min)), 0); power <= last; power++)
        for (size_t i = 0; i < count; i++)
            add_y_tick(plot, steps[i] * pow(10, power));
    buffer_add_format(plot->out,
                      "<text transform=\"translate(20 %.1f) rotate(-90)\" "
                      "text-anchor=\"middle\">latency (logarithmic)</text>\n",
                      TOP + (HEIGHT - TOP - BOTTOM) / 2.0);
}

static void add_titles(struct plot *plot) {
    const struct report *report = plot->report;
    char text[600];
    bool is_open = report->step_count > 0 && report->steps[0].rate > 0;
    snprintf(text, sizeof text, "%s: latency against throughput", report->what);
    add_text(plot, LEFT, 28, "class=\"title\"", text);
    snprintf(text, sizeof text, "%s over HTTP/%s, %s loop, %g s a point; beside a point: %s",
             report->protocol, report->http, is_open ? "open" : "closed", report->duration_s,
             is_open ? "the rate asked for, per second" : "connections");
    add_text(plot, LEFT, 48, "class=\"quiet\"", text);
}

/* ---- the data ---- */

static void add_marker(struct plot *plot, size_t line, double x, double y) {
    const char *colour = lines[line].colour;
    if (line == 0)
        buffer_add_format(plot->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x,
                          y, colour);
    else if (line == 1)
        buffer_add_format(plot->out,
                          "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\" fill=\"%s\"/>\n",
                          x - 3.5, y - 3.5, colour);
    else
        buffer_add_format(plot->out, "<path d=\"M%.1f %.1f l5 9 h-10 z\" fill=\"%s\"/>\n", x,
                          y - 5.5, colour);
}

static void take(struct plot *plot, struct box box) {
    if (plot->taken_count < LABELS_MAX)
        plot->taken[plot->taken_count++] = box;
}

static bool is_free(const struct plot *plot, struct box box) {
    for (size_t i = 0; i < plot->taken_count; i++) {
        const struct box *other = &plot->taken[i];
        if (box.x < other->x + other->width && other->x < box.x + box.width &&
            box.y < other->y + other->height && other->y < box.y + box.height)
            return false;
    }
    return box.x > LEFT && box.x + box.width < WIDTH && box.y > TOP &&
           box.y + box.height < HEIGHT - BOTTOM;
}

/* Below the point (`above`: above it), else beside it, where nothing else is; left out when there
 * is no such place. */
static void add_label(struct plot *plot, double x, double y, bool above, const char *text) {
    double width = CHARACTER_WIDTH * (double)strlen(text) + 2;
    const struct box below = {x - width / 2, y + 7, width, TEXT_HEIGHT};
    const struct box over = {x - width / 2, y - TEXT_HEIGHT - 7, width, TEXT_HEIGHT};
    const struct box places[] = {
        above ? over : below,
        {x + 8, y - TEXT_HEIGHT / 2.0, width, TEXT_HEIGHT},
        {x - width - 8, y - TEXT_HEIGHT / 2.0, width, TEXT_HEIGHT},
        above ? below : over,
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (is_free(plot, places[i])) {
            take(plot, places[i]);
            add_text(plot, places[i].x + 1, places[i].y + TEXT_HEIGHT - 2, "class=\"label\"", text);
            return;
        }
}

static void add_curve(struct plot *plot, size_t line) {
    const struct report *report = plot->report;
    double ns;
    bool first = true;
    buffer_add_format(plot->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"M",
                      lines[line].colour);
    for (size_t i = 0; i < report->step_count; i++)
        if (point_of(&report->steps[i], lines[line].quantile, &ns)) {
            buffer_add_format(plot->out, "%s%.1f %.1f", first ? "" : " L",
                              x_of(plot, result_throughput(report->steps[i].total)),
                              y_of(plot, ns));
            first = false;
        }
    if (first) /* a path needs a point */
        buffer_add_format(plot->out, "%d %d", LEFT, TOP);
    buffer_add_c(plot->out, "\"/>\n");
    for (size_t i = 0; i < report->step_count; i++)
        if (point_of(&report->steps[i], lines[line].quantile, &ns)) {
            double x = x_of(plot, result_throughput(report->steps[i].total)), y = y_of(plot, ns);
            add_marker(plot, line, x, y);
            take(plot, (struct box){x - 5, y - 5, 10, 10});
        }
}

static void add_legend(struct plot *plot, size_t line, double x) {
    add_marker(plot, line, x, TOP - 16);
    add_text(plot, x + 10, TOP - 12, "", report_quantiles[lines[line].quantile].name);
}

/* The lowest line has them below its points, the highest above; those between need none. */
static void add_labels(struct plot *plot) {
    const struct report *report = plot->report;
    for (size_t i = 0; i < report->step_count; i++)
        for (size_t line = 0; line < ARRAY_LEN(lines); line += ARRAY_LEN(lines) - 1) {
            const struct report_step *step = &report->steps[i];
            double ns;
            char text[REPORT_TIME_SIZE];
            if (!point_of(step, lines[line].quantile, &ns))
                continue;
            write_number(step->rate > 0 ? step->rate : step->connections, text, sizeof text);
            add_label(plot, x_of(plot, result_throughput(step->total)), y_of(plot, ns), line > 0,
                      text);
        }
}

void plot_write_svg(const struct report *report, struct buffer *out) {
    struct plot plot = {.report = report, .out = out};
    scale(&plot);
    buffer_add_format(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
        "<style>.grid{stroke:#ddd}.title{font-size:17px;font-weight:bold}.quiet{fill:#555}"
        ".label{font-size:12px;fill:#333;paint-order:stroke;stroke:#fff;stroke-width:3px}"
        "</style>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    add_titles(&plot);
    add_x_axis(&plot);
    add_y_axis(&plot);
    buffer_add_format(out,
                      "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#444\" "
                      "stroke-width=\"1.5\"/>\n",
                      LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (size_t line = 0; line < ARRAY_LEN(lines); line++) {
        add_curve(&plot, line);
        add_legend(&plot, line, LEFT + 70.0 * (double)line + 8);
    }
    add_labels(&plot);
    buffer_add_c(out, "</svg>\n");
}
