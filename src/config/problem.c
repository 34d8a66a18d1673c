/* Collecting problems, and guessing what a wrong name was meant to be. Pure; thread: any. */
#include "config/problem.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>

/* Names longer than this are not compared. */
enum { NAME_MAX_COMPARED = 64 };

void problem_add(struct problems *problems, const char *where, const char *format, ...) {
    if (++problems->count > CONFIG_PROBLEMS_MAX)
        return;
    struct err_text text;
    va_list args;
    va_start(args, format);
    (void)err_set_v(&text, ERR_INVALID, format, args);
    va_end(args);
    char line[CONFIG_PROBLEM_BYTES_MAX];
    int n = snprintf(line, sizeof line - 1, "%s: %s", where, text.s);
    CHECK(n >= 0);
    size_t used = MIN((size_t)n, sizeof line - 2);
    while (used > 0 && used < (size_t)n && ((unsigned char)line[used] & 0xC0) == 0x80)
        used--; /* not in the middle of a character */
    line[used] = '\n';
    buffer_add(problems->out, line, used + 1);
}

enum err problems_end(struct problems *problems) {
    if (problems->count > CONFIG_PROBLEMS_MAX)
        buffer_add_format(problems->out, "and %zu more problems\n",
                          problems->count - CONFIG_PROBLEMS_MAX);
    return problems->count > 0 ? ERR_INVALID : ERR_OK;
}

const char *problem_quote(struct str s, char out[PROBLEM_QUOTE_SIZE]) {
    enum { SHOWN_MAX = 60 };
    size_t n = MIN(s.n, (size_t)SHOWN_MAX);
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    struct buffer text;
    buffer_init(&text, 1024);
    buffer_add_json_string(&text, (struct str){s.p, n});
    if (n < s.n)
        buffer_add_c(&text, "...");
    snprintf(out, PROBLEM_QUOTE_SIZE, "%.*s", STR_ARG(buffer_str(&text)));
    buffer_done(&text);
    return out;
}

const char *problem_allowed(const struct option *option, char out[PROBLEM_ALLOWED_SIZE]) {
    struct buffer text;
    buffer_init(&text, 1024);
    option_write_allowed(option, &text);
    snprintf(out, PROBLEM_ALLOWED_SIZE, "%.*s", STR_ARG(buffer_str(&text)));
    buffer_done(&text);
    return out;
}

void option_write_key(const struct option *option, struct buffer *out) {
    buffer_add_c(out, option->key);
}

/* Letters to add, remove or replace to make `a` of `b` (Levenshtein), and neighbours to swap. */
static size_t distance(struct str a, struct str b) {
    size_t rows[3][NAME_MAX_COMPARED + 1];
    size_t *before = rows[0], *previous = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        previous[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            bool same = a.p[i - 1] == b.p[j - 1];
            now[j] = MIN(MIN(previous[j], now[j - 1]) + 1, previous[j - 1] + !same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                now[j] = MIN(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = previous;
        previous = now;
        now = oldest;
    }
    return previous[b.n];
}

struct guess {
    struct str name;
    size_t distance; /* of the best so far */
    char best[NAME_MAX_COMPARED + 1];
};

/* Takes the candidate when it is nearer, at distance `d`, than the best so far. */
static void consider_at(struct guess *guess, struct str candidate, size_t d) {
    if (d >= guess->distance || candidate.n > NAME_MAX_COMPARED)
        return;
    guess->distance = d;
    memcpy(guess->best, candidate.p, candidate.n);
    guess->best[candidate.n] = '\0';
}

static void consider(struct guess *guess, struct str candidate) {
    if (candidate.n <= NAME_MAX_COMPARED)
        consider_at(guess, candidate, distance(guess->name, candidate));
}

/* Is `name` the last part of the option's name ("port" of "http.port")? */
static bool is_last_part(struct str whole, struct str name) {
    return whole.n > name.n && str_ends(whole, name) && whole.p[whole.n - name.n - 1] == '.';
}

/* Is `name` the option's name without its last words ("batching.rows" of "batching.rows_max")? */
static bool is_cut_short(struct str whole, struct str name) {
    return whole.n > name.n + 1 && str_starts(whole, name) &&
           (whole.p[name.n] == '_' || whole.p[name.n] == '-');
}

/* The option itself, and for keys the maps that it is in. */
static void consider_option(struct guess *guess, struct str whole) {
    if (is_cut_short(whole, guess->name))
        consider_at(guess, whole, 1);
    if (is_last_part(whole, guess->name))
        consider_at(guess, whole, 1);
    consider(guess, whole);
    for (size_t n = 0; n < whole.n; n++)
        if (whole.p[n] == '.')
            consider(guess, (struct str){whole.p, n});
}

const char *problem_hint(const struct option_table *table, option_name_writer *write_name,
                         struct str name, char out[PROBLEM_HINT_SIZE]) {
    out[0] = '\0';
    if (name.n == 0 || name.n > NAME_MAX_COMPARED)
        return out;
    struct guess guess = {.name = name, .distance = MAX((size_t)1, name.n / 4) + 1};
    struct buffer text;
    buffer_init(&text, 1024);
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type == OPTION_SECTION)
            continue;
        buffer_clear(&text);
        write_name(&table->rows[i], &text);
        consider_option(&guess, buffer_str(&text));
    }
    buffer_done(&text);
    if (guess.best[0])
        snprintf(out, PROBLEM_HINT_SIZE, " (did you mean %s?)", guess.best);
    return out;
}
