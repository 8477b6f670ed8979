/*
 * `history`: drain and lifecycle where many jobs are finished already, and the
 * stores with such a past that other measurements use as well.
 */
#include "measure.h"

#include <string.h>

/* ---- stores with a history ---------------------------------------------- */

static struct igt_history *find_history(struct igt_bench *bench, size_t finished)
{
    for (size_t i = 0; i < bench->history_count; i++)
        if (bench->histories[i].finished == finished)
            return &bench->histories[i];
    return NULL;
}

/* The longest one that can be gone on with; NULL if there is none. */
static const struct igt_history *find_beginning(const struct igt_bench *bench, size_t finished)
{
    const struct igt_history *found = NULL;
    for (size_t i = 0; i < bench->history_count; i++) {
        const struct igt_history *history = &bench->histories[i];
        if (history->finished < finished && (!found || history->finished > found->finished) &&
            igt_place_kind(history->place) == IGT_PLACE_POSTGRES)
            found = history;
    }
    return found;
}

static enum ingot_status fill(struct igt_bench *bench, struct igt_history *history,
                              struct ingot_error *err)
{
    const struct igt_history *beginning = find_beginning(bench, history->finished);
    const struct igt_filling filling = {.count = history->finished -
                                                 (beginning ? beginning->finished : 0),
                                        .as = IGT_FILL_FINISHED,
                                        .data_bytes = bench->options->data_bytes};
    enum ingot_status status = igt_place_open(bench->options->store, &history->place, err);
    if (!status)
        status = beginning ? igt_place_copy(history->place, beginning->place, &history->url, err)
                           : igt_place_make(history->place, &history->url, err);
    if (!status)
        status = igt_bench_fill(history->url, &filling, bench->options->toolkit, err);
    return status ? status : igt_place_settle(history->place, err);
}

enum ingot_status igt_history_get(struct igt_bench *bench, size_t finished, const char **ret_url,
                                  struct ingot_error *err)
{
    struct igt_history *history = find_history(bench, finished);
    enum ingot_status status = INGOT_OK;
    if (!history && bench->history_count == IGT_HISTORIES_MAX)
        igt_history_forget(bench, bench->histories[0].finished);
    if (!history) {
        history = &bench->histories[bench->history_count++];
        *history = (struct igt_history){.finished = finished};
        status = fill(bench, history, err);
    }
    if (status)
        igt_history_forget(bench, finished);
    else
        *ret_url = history->url;
    return status;
}

void igt_history_forget(struct igt_bench *bench, size_t finished)
{
    struct igt_history *history = find_history(bench, finished);
    if (!history)
        return;
    igt_place_close(history->place);
    *history = bench->histories[--bench->history_count];
}

/* ---- history ------------------------------------------------------------ */

#define PASTS 3

struct past {
    size_t finished;
    const char *drain, *lifecycle; /* the variants' names */
};

static enum ingot_status run_past(struct igt_bench *bench, const struct past *past, unsigned round,
                                  struct ingot_error *err)
{
    const char *url = NULL;
    igt_bench_progress(bench, "history", past->lifecycle, round);
    enum ingot_status status = past->finished ? igt_history_get(bench, past->finished, &url, err)
                                              : igt_bench_make_store(bench, &url, err);
    if (!status)
        status = igt_lifecycle_ingot(bench, "history", past->lifecycle, url, err);
    if (!status)
        igt_bench_progress(bench, "history", past->drain, round);
    if (!status)
        status = igt_drain_ingot(bench, "history", past->drain, url, err);
    /* The server's memory is to be as full for a new store as for the others. */
    if (!status && !past->finished)
        status = igt_place_retain(bench->place, err);
    return status;
}

/* No aim is about what lies between none and most. */
static int is_between(const struct past *past, size_t most)
{
    return past->finished > 0 && past->finished < most;
}

enum ingot_status igt_measure_history(struct igt_bench *bench, struct ingot_error *err)
{
    const size_t most = bench->options->history;
    struct past pasts[PASTS] = {{.finished = 0}, {.finished = most / 5}, {.finished = most}};
    enum ingot_status status = INGOT_OK;
    for (size_t i = 0; i < PASTS; i++) {
        const char *finished = igt_bench_count(bench, pasts[i].finished);
        pasts[i].drain = igt_bench_text(bench, "drain, %s finished", finished);
        pasts[i].lifecycle = igt_bench_text(bench, "lifecycle, %s finished", finished);
    }
    igt_bench_progress(bench, "history", "filling", 0);
    for (size_t i = 1; i < PASTS && !status; i++) {
        const char *url = NULL;
        status = igt_history_get(bench, pasts[i].finished, &url, err);
    }
    for (unsigned round = 0; round < bench->options->rounds && !status; round++)
        for (size_t i = 0; i < PASTS && !status; i++)
            if (!is_between(&pasts[i], most) || round % IGT_SELDOM == 0)
                status = run_past(bench, &pasts[i], round, err);
    for (size_t i = PASTS - 1; i > 0 && !status; i--) {
        const double aim = pasts[i].finished == most ? igt_bench_aim(bench, 0.95, 0.9) : 0;
        igt_bench_compare(bench, "history", pasts[i].lifecycle, pasts[0].lifecycle, aim);
        igt_bench_compare(bench, "history", pasts[i].drain, pasts[0].drain, aim);
    }
    return status;
}
