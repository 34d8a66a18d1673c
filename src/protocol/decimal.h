/* Decimal numbers for JSON: the shortest text that reads back as the same binary number.
 * Pure; nothing allocated. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What `out` must have room for below: no number takes more, and what lies behind one may be
 * overwritten. No NUL is written. */
enum { DECIMAL_SIZE_MAX = 24 };

/* Each writes a finite number and returns the length: "1.0", "0.1", "-2.5e-7". The text has a point
 * or an exponent, so that it reads back as a real number everywhere. */
size_t decimal_write_fp32(float value, char *out);
size_t decimal_write_fp16(uint16_t bits, char *out);
size_t decimal_write_bf16(uint16_t bits, char *out);

size_t decimal_write_u64(uint64_t value, char *out);
size_t decimal_write_i64(int64_t value, char *out);
