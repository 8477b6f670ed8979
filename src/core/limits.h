/*
 * Every limit of Ingot, with its unit in its name. What exceeds one gets an
 * error that names it, and nothing is lost.
 */
#ifndef INGOT_CORE_LIMITS_H
#define INGOT_CORE_LIMITS_H

#include <stdint.h>

/* JSON */
#define IGT_JSON_DEPTH_MAX 64 /* nesting of a payload, as ingot.insert_queue has it too */

/* one event */
#define IGT_NAME_BYTES_MAX 255           /* source, name, destination, a job's event */
#define IGT_PAYLOAD_BYTES_MAX (8u << 20) /* context or data, of an event or of a job */
#define IGT_EVENT_JOBS_MAX 65535u        /* job numbers have two bytes in a transition's id */
#define IGT_ERROR_BYTES_MAX 4096u /* a transition's error; what is longer is cut, and says so */

/* a chain */
#define IGT_SEQ_MAX 65535u     /* two bytes in a transition's id, see docs/decisions/0002 */
#define IGT_SEQ_RESERVE 1000u  /* the last numbers of a chain take terminal moves only */
#define IGT_RETRIES_MAX 20000u /* three rows an attempt must fit in a chain */

/* admission of ids given by callers (PROTOCOL 6.1) */
#define IGT_ADMISSION_PAST_US (INT64_C(7) * 86400 * 1000000)
#define IGT_ADMISSION_FUTURE_US (INT64_C(86400) * 1000000)

/* reading */
#define IGT_FIND_PAGE_JOBS_MAX 10000u /* what one transaction of find returns */

/* the gateway */
#define IGT_BODY_BYTES_MAX (16u << 20) /* one request */
#define IGT_REQUEST_EVENTS_MAX 10000u
#define IGT_CONNECTIONS_MAX 1024u
#define IGT_CONNECTION_IDLE_S 30u
#define IGT_CONNECTION_MEMORY_BYTES (32u << 10) /* headers of one request */
#define IGT_QUEUED_BYTES_MAX (256u << 20)       /* bodies that wait for the journal */
#define IGT_RECENT_BYTES_MAX (64u << 20)        /* bodies kept until their first attempt */
#define IGT_AHEAD_BYTES_MAX (32u << 20)         /* of them, read ahead by a start */
#define IGT_RECEIVED_BYTES_MAX (512u << 20)     /* bodies in memory, queued ones included */

/* the journal: what one commit takes at most */
#define IGT_COMMIT_EVENTS_MAX 5000u
#define IGT_COMMIT_TRANSITIONS_MAX 2000u

/* delivery */
#define IGT_CONCURRENCY_MAX 1024u /* of one destination */
#define IGT_TIMEOUT_US_MAX (INT64_C(86400) * 1000000)
#define IGT_RETRY_AFTER_US_MAX (INT64_C(86400) * 1000000) /* a later one is clamped */
#define IGT_ANSWER_BYTES_MAX 256u /* of a destination's answer kept in an error */
#define IGT_DESTINATIONS_MAX 4096u

#endif
