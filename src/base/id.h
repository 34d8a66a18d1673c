/* Request ids: 32 hexadecimal digits, unique with overwhelming probability, not secret. */
#pragma once

enum { ID_SIZE = 33 };

/* Thread: any (each thread has its own generator, seeded from the kernel). */
void id_make(char out[ID_SIZE]);
