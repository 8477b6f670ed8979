/*
 * What may be stored, checked in part: the public check of a whole event is
 * ingot_event_validate().
 */
#ifndef INGOT_STORE_VALIDATE_H
#define INGOT_STORE_VALIDATE_H

#include <ingot/ingot.h>

/*
 * Checks an event as ingot_event_validate() does, except that its context and data
 * are not read: they stand in a text that igt_json_parse() accepted, and
 * igt_event_decode() found them there. The value of a member is JSON by the same
 * rules as the whole, so to read it again could refuse nothing.
 */
enum ingot_status igt_event_validate_decoded(const struct ingot_event *event,
                                             const struct ingot_toolkit *toolkit, const char *path,
                                             struct ingot_error *err);

/* Checks one job as ingot_event_validate() does, but for its event id; path is what validations begin with. */
enum ingot_status igt_job_validate(const struct ingot_job *job, const char *path,
                                   struct ingot_error *err);

#endif
