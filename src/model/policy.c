/* The version policies (policy.h). */
#include "model/policy.h"

static bool is_listed(const struct model_options *options, int64_t number) {
    for (size_t i = 0; i < options->listed_count; i++)
        if (options->listed[i] == number)
            return true;
    return false;
}

void policy_apply(const struct model_options *options, struct policy_version *versions,
                  size_t count) {
    uint32_t found = 0;
    for (size_t i = count; i-- > 0;) {
        struct policy_version *version = &versions[i];
        version->wanted = version->number == options->default_version;
        switch (options->policy) {
        case VERSIONS_LATEST:
            version->wanted = version->wanted || found < options->latest;
            found += !version->failed;
            break;
        case VERSIONS_ALL:
            version->wanted = true;
            break;
        case VERSIONS_LISTED:
            version->wanted = version->wanted || is_listed(options, version->number);
            break;
        }
    }
}
