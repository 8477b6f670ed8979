/*
 * What several processes on one store need of it: to follow, to show signs of
 * life, to keep lists of what is live. Each is an adapter's capability; where
 * it is missing the scheduler works by find alone.
 */
#include "store.h"

#include "core/arena.h"

enum ingot_handles ingot_store_handles(const struct ingot_store *store)
{
    return store->adapter->handles;
}

static enum ingot_status unsupported(const struct ingot_store *store, struct ingot_error *err,
                                     const char *what)
{
    return ingot_error_set(err, INGOT_UNSUPPORTED, "store/%s: has no %s", store->adapter->name,
                           what);
}

/* What a call on the adapter begins and ends with. */
struct call {
    struct ingot_toolkit toolkit;
    struct ingot_page *page;
};

static enum ingot_status begin(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                               struct call *call, struct ingot_error *err)
{
    ingot_error_clear(err);
    call->toolkit = igt_toolkit_for(store, toolkit);
    call->page = ingot_page_create();
    if (!call->page)
        return ingot_error_set(err, INGOT_NOMEM, "store: memory ran out");
    pthread_mutex_lock(&store->lock);
    return INGOT_OK;
}

/* The page goes to the caller, or away. */
static enum ingot_status end(struct ingot_store *store, struct call *call, enum ingot_status status,
                             struct ingot_page **ret_page)
{
    pthread_mutex_unlock(&store->lock);
    if (status || !ret_page)
        ingot_page_destroy(call->page);
    else
        *ret_page = call->page;
    return status;
}

enum ingot_status ingot_store_follow(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                     const struct ingot_following *from,
                                     int (*sighted)(void *context, const struct ingot_sighting *),
                                     void *context, struct ingot_page **ret_page,
                                     struct ingot_followed *ret_followed, struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->follow)
        return unsupported(store, err, "way to follow it");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->follow(store->handle, &call.toolkit, from, sighted, context, call.page,
                                    ret_followed, err);
    return end(store, &call, status, ret_page);
}

enum ingot_status ingot_store_heartbeat(struct ingot_store *store,
                                        const struct ingot_toolkit *toolkit,
                                        const struct ingot_heartbeat *heartbeat, int64_t past_us,
                                        struct ingot_page **ret_page,
                                        struct ingot_heartbeats *ret_heartbeats,
                                        struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->heartbeat)
        return unsupported(store, err, "heartbeats, because one process has it");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->heartbeat(store->handle, &call.toolkit, heartbeat, past_us, call.page,
                                       ret_heartbeats, err);
    return end(store, &call, status, ret_page);
}

enum ingot_status ingot_store_add_checkpoints(struct ingot_store *store,
                                              const struct ingot_toolkit *toolkit,
                                              const struct ingot_checkpoint *checkpoints,
                                              size_t count, struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->add_checkpoints)
        return unsupported(store, err, "checkpoints");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->add_checkpoints(store->handle, &call.toolkit, checkpoints, count, err);
    return end(store, &call, status, NULL);
}

enum ingot_status ingot_store_checkpoints(struct ingot_store *store,
                                          const struct ingot_toolkit *toolkit,
                                          const struct ingot_lanes *lanes, int64_t before_us,
                                          struct ingot_page **ret_page,
                                          struct ingot_checkpoint **ret_checkpoints,
                                          size_t *ret_count, struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->checkpoints)
        return unsupported(store, err, "checkpoints");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->checkpoints(store->handle, &call.toolkit, lanes, before_us, call.page,
                                         ret_checkpoints, ret_count, err);
    return end(store, &call, status, ret_page);
}

void ingot_store_wake(struct ingot_store *store)
{
    if (!store->adapter->wake)
        return;
    pthread_mutex_lock(&store->lock);
    store->adapter->wake(store->handle);
    pthread_mutex_unlock(&store->lock);
}

enum ingot_status ingot_store_wait(struct ingot_store *store, const struct ingot_toolkit *toolkit,
                                   int64_t timeout_us, struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->wait)
        return unsupported(store, err, "wake-ups");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->wait(store->handle, &call.toolkit, timeout_us, err);
    return end(store, &call, status, NULL);
}

enum ingot_status ingot_store_make_segments(struct ingot_store *store,
                                            const struct ingot_toolkit *toolkit,
                                            struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->make_segments)
        return INGOT_OK;
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->make_segments(store->handle, &call.toolkit, err);
    return end(store, &call, status, NULL);
}

enum ingot_status ingot_store_settings(struct ingot_store *store,
                                       const struct ingot_toolkit *toolkit,
                                       struct ingot_page **ret_page,
                                       struct ingot_setting **ret_settings, size_t *ret_count,
                                       struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->settings)
        return unsupported(store, err, "settings to show");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->settings(store->handle, &call.toolkit, call.page, ret_settings,
                                      ret_count, err);
    return end(store, &call, status, ret_page);
}

enum ingot_status ingot_store_accept_restore(struct ingot_store *store,
                                             const struct ingot_toolkit *toolkit,
                                             struct ingot_error *err)
{
    struct call call;
    if (!store->adapter->accept_restore)
        return unsupported(store, err, "former life that could matter");
    enum ingot_status status = begin(store, toolkit, &call, err);
    if (status)
        return status;
    status = store->adapter->accept_restore(store->handle, &call.toolkit, err);
    return end(store, &call, status, NULL);
}
