#include "load/report.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>

enum { CELL_SIZE = 32, COLUMNS = 12 };

const struct report_quantile report_quantiles[REPORT_QUANTILES] = {
    {0.5, "p50", "p50"},
    {0.9, "p90", "p90"},
    {0.99, "p99", "p99"},
    {0.999, "p99.9", "p99_9"},
};

const char *report_time(double ns, char out[REPORT_TIME_SIZE]) {
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    size_t unit = 0;
    /* 999.5 would be written as 1000. */
    while (unit + 1 < ARRAY_LEN(units) && ns >= 999.5 * units[unit].ns)
        unit++;
    double value = ns / units[unit].ns;
    int digits = unit == 0 || value >= 99.95 ? 0 : (value >= 9.995 ? 1 : 2);
    snprintf(out, REPORT_TIME_SIZE, "%.*f %s", digits, value, units[unit].name);
    return out;
}

/* ---- the table ---- */

/* Digits in groups of three. */
static void write_count(uint64_t count, char out[CELL_SIZE]) {
    char digits[CELL_SIZE];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
}

struct row {
    char cells[COLUMNS][CELL_SIZE];
};

static const char *const titles[COLUMNS] = {"conns",   "rate/s", "good/s", "p50",
                                            "p90",     "p99",    "p99.9",  "max",
                                            "samples", "failed", "server", "client"};

static void fill_row(const struct report_step *step, struct row *row) {
    const struct result *total = step->total;
    write_count(step->connections, row->cells[0]);
    if (step->rate > 0)
        write_count((uint64_t)(step->rate + 0.5), row->cells[1]);
    else
        snprintf(row->cells[1], CELL_SIZE, "closed");
    write_count((uint64_t)(result_throughput(total) + 0.5), row->cells[2]);
    for (size_t i = 0; i < REPORT_QUANTILES; i++) {
        uint64_t ns;
        char text[REPORT_TIME_SIZE];
        bool said = histogram_percentile(&total->latency, report_quantiles[i].quantile, &ns);
        snprintf(row->cells[3 + i], CELL_SIZE, "%s", said ? report_time((double)ns, text) : "-");
    }
    char text[REPORT_TIME_SIZE];
    snprintf(row->cells[7], CELL_SIZE, "%s",
             total->latency.count ? report_time((double)total->latency.max, text) : "-");
    write_count(total->latency.count, row->cells[8]);
    write_count(result_failed(total), row->cells[9]);
    double server = result_server_us(total);
    if (server < 0)
        snprintf(row->cells[10], CELL_SIZE, "-");
    else
        snprintf(row->cells[10], CELL_SIZE, "%.1f us", server);
    snprintf(row->cells[11], CELL_SIZE, "%.0f %%", 100 * result_client_share(total));
}

static void write_rows(const struct report *report, struct buffer *out) {
    size_t width[COLUMNS];
    struct row row;
    for (size_t c = 0; c < COLUMNS; c++)
        width[c] = strlen(titles[c]);
    for (size_t i = 0; i < report->step_count; i++) {
        fill_row(&report->steps[i], &row);
        for (size_t c = 0; c < COLUMNS; c++)
            width[c] = MAX(width[c], strlen(row.cells[c]));
    }
    for (size_t c = 0; c < COLUMNS; c++)
        buffer_add_format(out, "%s%*s", c ? "  " : "", (int)width[c], titles[c]);
    buffer_add_char(out, '\n');
    for (size_t i = 0; i < report->step_count; i++) {
        fill_row(&report->steps[i], &row);
        for (size_t c = 0; c < COLUMNS; c++)
            buffer_add_format(out, "%s%*s", c ? "  " : "", (int)width[c], row.cells[c]);
        buffer_add_char(out, '\n');
    }
}

static void write_rounds(const struct report_step *step, struct buffer *out) {
    if (step->round_count < 2)
        return;
    double least = result_throughput(step->rounds[0]), most = least;
    for (size_t i = 1; i < step->round_count; i++) {
        least = MIN(least, result_throughput(step->rounds[i]));
        most = MAX(most, result_throughput(step->rounds[i]));
    }
    buffer_add_format(out, "  good/s of its %zu rounds: %.0f to %.0f\n", step->round_count, least,
                      most);
}

static void write_failures(const struct result *total, struct buffer *out) {
    size_t position = 0;
    uint64_t count;
    char kind[RESULT_KIND_SIZE];
    bool any = false;
    while (result_next_kind(total, &position, kind, &count)) {
        buffer_add_format(out, "%s%s %llu", any ? ", " : "  failed: ", kind,
                          (unsigned long long)count);
        any = true;
    }
    if (!any)
        return;
    buffer_add_c(out, "\n  the first: ");
    for (const char *c = total->first_failure; *c; c++) /* a server's words, on a terminal */
        buffer_add_char(out, *c >= ' ' && *c < 0x7f ? *c : ' ');
    buffer_add_char(out, '\n');
}

/* What a reader must know to trust, or not, the numbers above. */
static void write_remarks(const struct report_step *step, struct buffer *out) {
    const struct result *total = step->total;
    write_rounds(step, out);
    write_failures(total, out);
    if (!result_measured(total))
        buffer_add_format(out,
                          "  nothing could be measured: %llu requests of the warm-up had no answer "
                          "or one that is no success\n",
                          (unsigned long long)total->warmup_failed);
    if (total->unsent > 0)
        buffer_add_format(out,
                          "  %s%llu requests still waited for a connection when the window ended; "
                          "how long they had counts, as a lower bound\n",
                          result_met_rate(total) ? "" : "the rate was not met: ",
                          (unsigned long long)total->unsent);
    if (result_is_client_bound(total))
        buffer_add_format(out,
                          "  warning: bench's own core was %.0f %% busy: this measures bench, not "
                          "the server\n",
                          100 * result_client_share(total));
    if (total->interrupted)
        buffer_add_c(out, "  interrupted: the result so far\n");
}

static void write_refused(const struct report *report, struct buffer *out) {
    for (size_t q = 0; q < REPORT_QUANTILES; q++) {
        double quantile = report_quantiles[q].quantile;
        uint64_t needed = histogram_samples_needed(quantile);
        for (size_t i = 0; i < report->step_count; i++)
            if (report->steps[i].total->latency.count < needed) {
                buffer_add_format(out, "%s needs %llu samples, of which %d lie beyond it\n",
                                  report_quantiles[q].name, (unsigned long long)needed,
                                  HISTOGRAM_BEYOND_MIN);
                break;
            }
    }
}

void report_write_table(const struct report *report, struct buffer *out) {
    buffer_add_format(out, "%s at %s: %s over HTTP/%s", report->what, report->url, report->protocol,
                      report->http);
    if (report->streams > 1)
        buffer_add_format(out, ", %u requests at a time on a connection", report->streams);
    buffer_add_format(out, "; request %zu bytes, answer %zu\n\n", report->request_bytes,
                      report->answer_bytes);
    write_rows(report, out);
    for (size_t i = 0; i < report->step_count; i++) {
        struct buffer remarks;
        buffer_init(&remarks, REPORT_BYTES_MAX);
        write_remarks(&report->steps[i], &remarks);
        if (remarks.used > 0 && report->step_count > 1)
            buffer_add_format(out, "%zu.\n", i + 1);
        buffer_add_str(out, buffer_str(&remarks));
        buffer_done(&remarks);
    }
    write_refused(report, out);
}

/* ---- JSON ---- */

static void add_key(struct buffer *out, const char *key) {
    buffer_add_format(out, ",\"%s\":", key);
}

static void add_text(struct buffer *out, const char *key, const char *text) {
    add_key(out, key);
    buffer_add_json_string(out, str_of(text));
}

static void add_count(struct buffer *out, const char *key, uint64_t count) {
    add_key(out, key);
    buffer_add_u64(out, count);
}

static void add_real(struct buffer *out, const char *key, double value) {
    add_key(out, key);
    buffer_add_format(out, "%.6g", value);
}

static void add_exact(struct buffer *out, const char *key, double value) {
    add_key(out, key);
    buffer_add_format(out, "%.3f", value);
}

static void add_bool(struct buffer *out, const char *key, bool value) {
    add_key(out, key);
    buffer_add_c(out, value ? "true" : "false");
}

static void add_latency(struct buffer *out, const struct histogram *latency) {
    buffer_add_c(out, ",\"latency_us\":{\"samples\":");
    buffer_add_u64(out, latency->count);
    for (size_t i = 0; i < REPORT_QUANTILES; i++) {
        uint64_t ns;
        if (histogram_percentile(latency, report_quantiles[i].quantile, &ns))
            add_exact(out, report_quantiles[i].key, (double)ns / NS_PER_US);
        else
            buffer_add_format(out, ",\"%s\":null", report_quantiles[i].key);
    }
    add_exact(out, "min", (double)latency->min / NS_PER_US);
    add_exact(out, "mean", histogram_mean(latency) / NS_PER_US);
    add_exact(out, "max", (double)latency->max / NS_PER_US);
    buffer_add_char(out, '}');
}

static void add_failures(struct buffer *out, const struct result *result) {
    size_t position = 0;
    uint64_t count;
    char kind[RESULT_KIND_SIZE];
    const char *before = "";
    buffer_add_c(out, ",\"failures\":{");
    while (result_next_kind(result, &position, kind, &count)) {
        buffer_add_format(out, "%s\"%s\":%llu", before, kind, (unsigned long long)count);
        before = ",";
    }
    buffer_add_char(out, '}');
}

/* The members of a step, and of a round within it; the first has no comma before it. */
static void add_result(struct buffer *out, const struct result *result) {
    buffer_add_format(out, "\"requests\":%llu", (unsigned long long)result->requests);
    add_count(out, "failed", result_failed(result));
    add_failures(out, result);
    if (result->first_failure[0])
        add_text(out, "first_failure", result->first_failure);
    add_count(out, "unsent", result->unsent);
    add_bool(out, "rate_met", result_met_rate(result));
    add_count(out, "warmup_requests", result->warmup_requests);
    add_count(out, "warmup_failed", result->warmup_failed);
    add_count(out, "reconnects", result->reconnects);
    add_exact(out, "seconds", result->seconds);
    add_count(out, "answers_in_window", result->answers);
    add_exact(out, "requests_per_second", result_throughput(result));
    add_latency(out, &result->latency);
    double server = result_server_us(result);
    if (server < 0)
        buffer_add_c(out, ",\"server_cpu_us_per_request\":null,\"server_cpu_seconds\":null");
    if (server >= 0)
        add_exact(out, "server_cpu_us_per_request", server);
    if (server >= 0)
        add_exact(out, "server_cpu_seconds", result->server_cpu_s);
    add_exact(out, "client_cpu_share", result_client_share(result));
    add_bool(out, "client_bound", result_is_client_bound(result));
    add_bool(out, "interrupted", result->interrupted);
}

static void add_step(struct buffer *out, const struct report_step *step) {
    buffer_add_format(out, "{\"connections\":%u", step->connections);
    if (step->rate > 0)
        add_real(out, "rate", step->rate);
    else
        buffer_add_c(out, ",\"rate\":null");
    buffer_add_char(out, ',');
    add_result(out, step->total);
    buffer_add_c(out, ",\"rounds\":[");
    for (size_t i = 0; i < step->round_count; i++) {
        buffer_add_c(out, i ? ",{" : "{");
        add_result(out, step->rounds[i]);
        buffer_add_char(out, '}');
    }
    buffer_add_c(out, "]}");
}

void report_write_json(const struct report *report, struct buffer *out) {
    buffer_add_c(out, "{\"inferd\":");
    buffer_add_json_string(out, str_of(report->version));
    add_text(out, "started", report->started);
    add_text(out, "url", report->url);
    add_text(out, "protocol", report->protocol);
    add_text(out, "http", report->http);
    add_text(out, "target", report->what);
    bool is_open = report->step_count > 0 && report->steps[0].rate > 0;
    add_text(out, "loop", is_open ? "open" : "closed");
    add_count(out, "streams", report->streams);
    add_count(out, "request_bytes", report->request_bytes);
    add_count(out, "answer_bytes", report->answer_bytes);
    add_real(out, "warmup_seconds", report->warmup_s);
    add_real(out, "duration_seconds", report->duration_s);
    buffer_add_c(out, ",\"samples_needed\":{");
    for (size_t i = 0; i < REPORT_QUANTILES; i++)
        buffer_add_format(
            out, "%s\"%s\":%llu", i ? "," : "", report_quantiles[i].key,
            (unsigned long long)histogram_samples_needed(report_quantiles[i].quantile));
    buffer_add_c(out, "},\"steps\":[");
    for (size_t i = 0; i < report->step_count; i++) {
        if (i > 0)
            buffer_add_char(out, ',');
        add_step(out, &report->steps[i]);
    }
    buffer_add_c(out, "]}\n");
}
