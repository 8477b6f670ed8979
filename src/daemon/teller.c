/* Telling requests what became of them; see teller.h. */
#include "teller.h"

#include "core/thread.h"

#include <pthread.h>
#include <stdlib.h>

struct igt_teller {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct igt_request *requests, **last_request; /* to be told, oldest first */
    int telling, stopping;
};

/* Tells every request of a chain. */
static void tell(struct igt_request *requests)
{
    for (struct igt_request *request = requests, *next; request; request = next) {
        next = request->next;
        request->next = NULL;
        request->decided(request, request->context);
        igt_request_release(request);
    }
}

static void *run(void *context)
{
    struct igt_teller *teller = context;
    pthread_mutex_lock(&teller->lock);
    while (teller->requests || !teller->stopping) {
        struct igt_request *requests = teller->requests;
        if (!requests) {
            pthread_cond_wait(&teller->work, &teller->lock);
            continue;
        }
        teller->requests = NULL;
        teller->last_request = &teller->requests;
        teller->telling = 1;
        pthread_mutex_unlock(&teller->lock);
        tell(requests);
        pthread_mutex_lock(&teller->lock);
        teller->telling = 0;
    }
    pthread_mutex_unlock(&teller->lock);
    return NULL;
}

enum ingot_status igt_teller_start(struct igt_teller **ret_teller, struct ingot_error *err)
{
    struct igt_teller *teller = calloc(1, sizeof *teller);
    if (!teller)
        return ingot_error_set(err, INGOT_NOMEM, "journal: memory ran out");
    teller->last_request = &teller->requests;
    pthread_mutex_init(&teller->lock, NULL);
    pthread_cond_init(&teller->work, NULL);
    enum ingot_status status = igt_thread_start(&teller->thread, "teller", run, teller, err);
    if (status) {
        pthread_cond_destroy(&teller->work);
        pthread_mutex_destroy(&teller->lock);
        free(teller);
        return status;
    }
    *ret_teller = teller;
    return INGOT_OK;
}

void igt_teller_tell(struct igt_teller *teller, struct igt_request *requests,
                     enum igt_telling telling)
{
    if (!requests)
        return;
    pthread_mutex_lock(&teller->lock);
    int here =
        (telling == IGT_TELL_HERE || !requests->next) && !teller->requests && !teller->telling;
    if (!here) {
        *teller->last_request = requests;
        while (*teller->last_request)
            teller->last_request = &(*teller->last_request)->next;
        pthread_cond_signal(&teller->work);
    }
    pthread_mutex_unlock(&teller->lock);
    if (here)
        tell(requests);
}

void igt_teller_stop(struct igt_teller *teller)
{
    if (!teller)
        return;
    pthread_mutex_lock(&teller->lock);
    teller->stopping = 1;
    pthread_cond_signal(&teller->work);
    pthread_mutex_unlock(&teller->lock);
    pthread_join(teller->thread, NULL);
    pthread_cond_destroy(&teller->work);
    pthread_mutex_destroy(&teller->lock);
    free(teller);
}
