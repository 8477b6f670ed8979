/*
 * Where the stores stand that are measured: each run gets a new one beside what
 * the user named, and nothing of the user's is touched. In PostgreSQL that is a
 * database of its own on the same server, on SQLite a file in the same folder.
 */
#ifndef INGOT_BENCH_PLACE_H
#define INGOT_BENCH_PLACE_H

#include <ingot/ingot.h>

struct igt_place;

enum igt_place_kind { IGT_PLACE_POSTGRES, IGT_PLACE_SQLITE };

/* What another session can have open that keeps the server from cleaning up. */
enum igt_pin {
    IGT_PIN_NONE,
    IGT_PIN_SNAPSHOT, /* an idle REPEATABLE READ transaction */
    IGT_PIN_XID       /* an idle transaction with an xid */
};

/* INGOT_INVALID for a store that cannot be measured; INGOT_DENIED if no databases may be made. */
enum ingot_status igt_place_open(const char *url, struct igt_place **ret_place,
                                 struct ingot_error *err);
void igt_place_close(struct igt_place *place); /* drops what is left; NULL is allowed */

enum igt_place_kind igt_place_kind(const struct igt_place *place);

/* Makes room for a new store; *ret_url is valid until it is dropped, or another is made. */
enum ingot_status igt_place_make(struct igt_place *place, const char **ret_url,
                                 struct ingot_error *err);
void igt_place_drop(struct igt_place *place);

/*
 * Lets the store that stands stay until the place is closed. To drop a database of
 * PostgreSQL frees the pages that the server holds of it, so that the next store is written
 * into free memory; otherwise each page that is made must first move another one out.
 */
enum ingot_status igt_place_retain(struct igt_place *place, struct ingot_error *err);

/*
 * Has the store that stands be the model of others, which begin as copies of it: faster
 * than to make hundreds of tables each time. Nobody may be connected to it. Of
 * PostgreSQL only.
 */
enum ingot_status igt_place_keep_model(struct igt_place *place, struct ingot_error *err);
int igt_place_has_model(const struct igt_place *place);

/* Makes a copy of the model; *ret_url as igt_place_make(). */
enum ingot_status igt_place_copy_model(struct igt_place *place, const char **ret_url,
                                       struct ingot_error *err);

/*
 * Makes a store that begins as a copy of one that stands at another place, which nobody is to
 * be connected to meanwhile; *ret_url as igt_place_make(). Of PostgreSQL only.
 */
enum ingot_status igt_place_copy(struct igt_place *place, struct igt_place *from,
                                 const char **ret_url, struct ingot_error *err);

/* Has the database do now what it would do later behind a large fill. */
enum ingot_status igt_place_settle(struct igt_place *place, struct ingot_error *err);

/* Has another session of that kind open on the store until it is let go, or dropped. */
enum ingot_status igt_place_pin(struct igt_place *place, enum igt_pin pin, struct ingot_error *err);
void igt_place_unpin(struct igt_place *place);

/* What the store has written: bytes of WAL; the length of the file once its WAL is moved into it. */
struct igt_written {
    double bytes;
    double images; /* of them, full pages after a checkpoint; -1: the server cannot say */
};
enum ingot_status igt_place_mark(struct igt_place *place, struct ingot_error *err);
enum ingot_status igt_place_written(struct igt_place *place, struct igt_written *ret_written,
                                    struct ingot_error *err);

/* By what the server is reached: "TCP, TLS"; "" where there is none. */
void igt_place_connection(struct igt_place *place, char *text, size_t size);

/* A setting of the database, such as "server_version"; "" if it has none of that name. */
void igt_place_setting(struct igt_place *place, const char *name, char *text, size_t size);

#endif
