/* JSON as the v2 reader needs it: a document in the request's arena, its objects' members by name,
 * and names for what was found. Internal to the layer. */
#pragma once

#include "protocol/v2_reader.h"

#include <yyjson.h>

/* Parses `json`; strings stay in it (in-situ: json.p[0..n) and YYJSON_PADDING_SIZE bytes behind are
 * overwritten). NaN, Infinity and numbers beyond uint64, int64 and double come as raw values
 * (yyjson_is_raw), so that the caller can say where they were. ERR_BODY_TOO_LARGE when the values
 * would take more than bytes_max; ERR_NO_MEMORY. */
enum err v2_json_parse(struct v2_reader *reader, char *json, size_t length,
                       yyjson_val **ret_root) MUST_CHECK;

/* "a string", "an array", "a number with a fraction", "NaN", ... */
const char *v2_json_kind(yyjson_val *value);
/* A raw value that is a number, though one without a fitting type; the others are NaN and Infinity.
 */
bool v2_json_is_big_number(yyjson_val *value);
struct str v2_json_str(yyjson_val *string);

struct v2_member {
    const char *name;
    yyjson_val *value; /* NULL: absent, or null */
};

/* Looks up an object's members. A name that comes twice is an error; members not asked for are
 * passed over, but not nested deeper than V2_JSON_DEPTH_MAX and not NaN or Infinity. `where`
 * ("input 'X'") is for error texts. */
enum err v2_json_members(const struct v2_reader *reader, yyjson_val *object, const char *where,
                         struct v2_member *members, size_t count) MUST_CHECK;
