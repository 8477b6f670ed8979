/* What ingot.h has no need of: characters within ranges of bytes. */
#ifndef INGOT_CORE_BYTES_H
#define INGOT_CORE_BYTES_H

#include <ingot/ingot.h>

/* Bytes of the UTF-8 character that text begins with (RFC 3629 section 4); 0 if it is none. */
size_t igt_character_len(struct ingot_bytes text);

/* The code point of a character whose length igt_character_len() gave. */
uint32_t igt_character_decode(const void *character, size_t len);

/*
 * Whether a code point is a graphic character or a space: not a control, nor
 * one that is invisible, steers a terminal, or changes how its neighbours are
 * shown. For whatever hostile text reaches people.
 */
int igt_character_is_printable(uint32_t code_point);

#endif
