/* Turns the rows of an options table into struct members. No include guard: included once a struct. */
#define SECTION(key, title)
#define BOOL(key, field, fallback, help) bool field;
#define INT(key, field, fallback, min, max, help) int64_t field;
#define SIZE(key, field, fallback, min, max, help) uint64_t field;
#define DURATION(key, field, fallback, min, max, help) uint64_t field;
#define NUMBER(key, field, fallback, min, max, help) double field;
#define STRING(key, field, fallback, help) char *field;
#define ENUM(key, field, fallback, values, help) int field;
#define LIST(key, field, help) struct config_list field;
#define INTS(key, field, help) struct config_ints field;
#define MAP(key, field, help) struct config_map field;
