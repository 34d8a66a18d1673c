/* Which folder names of a model repository are models and versions. A model's name comes back in
 * URLs, log lines and metric labels, so the set of characters is small. Pure. */
#include "model/name.h"

#include "model/manager.h"

#include "base/num.h"

static bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool model_name_valid(struct str name) {
    if (name.n == 0 || name.n > MODEL_NAME_MAX || !is_alphanumeric(name.p[0]))
        return false;
    for (size_t i = 1; i < name.n; i++) {
        char c = name.p[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-')
            return false;
        if (c == '.' && name.p[i - 1] == '.')
            return false;
    }
    return true;
}

int model_name_order(struct str a, const char *b) {
    struct str other = str_of(b);
    size_t common = MIN(a.n, other.n);
    int order = common ? memcmp(a.p, other.p, common) : 0;
    return order ? order : (a.n > other.n) - (a.n < other.n);
}

bool version_number_read(struct str name, int64_t *ret) {
    uint64_t value;
    if (name.n == 0 || name.p[0] == '0' || !str_to_u64(name, &value) || value > INT64_MAX)
        return false;
    *ret = (int64_t)value;
    return true;
}
