/* What ingot.h has no need of: characters within ranges of bytes. */
#ifndef INGOT_CORE_BYTES_H
#define INGOT_CORE_BYTES_H

#include <ingot/ingot.h>

/* Bytes of the UTF-8 character that text begins with (RFC 3629 section 4); 0 if it is none. */
size_t igt_character_len(struct ingot_bytes text);

#endif
