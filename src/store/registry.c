/* Which adapters there are: the built-in ones, and those in a folder that the operator names. */
#include "store.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

extern const struct ingot_adapter ingot_adapter_sqlite;
extern const struct ingot_adapter ingot_adapter_memory;
extern const struct ingot_adapter ingot_adapter_postgres;

static const struct ingot_adapter *const built_in[] = {&ingot_adapter_sqlite, &ingot_adapter_memory,
                                                       &ingot_adapter_postgres};

const char *const *ingot_available_adapters(void)
{
    static const char *const names[] = {"sqlite", "memory", "postgres", NULL};
    return names;
}

/*
 * Loads DIR/ingot-NAME.so. Never unloaded: sanitizers and thread-local
 * destructors do not survive that. Full trust: the folder is the operator's.
 */
static const struct ingot_adapter *load(const char *dir, const char *name)
{
    char path[4096];
    if (dir[0] != '/' || !name[0] || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
        return NULL;
    if (snprintf(path, sizeof path, "%s/ingot-%s.so", dir, name) >= (int)sizeof path)
        return NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return NULL;
    /* POSIX has function pointers travel through void *; C has no word for it. */
    ingot_adapter_entry_fn *entry;
    *(void **)&entry = dlsym(object, INGOT_ADAPTER_ENTRY);
    return entry ? entry() : NULL;
}

const struct ingot_adapter *igt_registry_find(const struct ingot_options *options)
{
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++)
        if (strcmp(built_in[i]->name, options->from) == 0)
            return built_in[i];
    return options->adapter_dir ? load(options->adapter_dir, options->from) : NULL;
}

/* Whether a URL is one of those that libpq reads itself, whole. */
static int is_postgres_url(const char *url)
{
    return strncmp(url, "postgres://", strlen("postgres://")) == 0 ||
           strncmp(url, "postgresql://", strlen("postgresql://")) == 0;
}

enum ingot_status ingot_options_from_url(const char *url, struct ingot_options *ret_options,
                                         struct ingot_error *err)
{
    struct ingot_options options = INGOT_OPTIONS_INIT;
    if (is_postgres_url(url)) {
        options.from = ingot_adapter_postgres.name;
        options.connection = url;
    }
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0] && !options.from; i++) {
        size_t len = strlen(built_in[i]->name);
        if (strncmp(url, built_in[i]->name, len) == 0 && url[len] == ':') {
            options.from = built_in[i]->name;
            options.connection = url + len + 1;
        }
    }
    if (options.from) {
        *ret_options = options;
        return INGOT_OK;
    }
    /* The URL may hold a password, so no more of it than its scheme is shown. */
    return ingot_error_set(err, INGOT_INVALID,
                           "store: unknown kind of store \"%.*s\"; write sqlite:PATH, "
                           "postgres://USER@HOST/DATABASE or memory:",
                           (int)strnlen(url, strcspn(url, ":/") < 32 ? strcspn(url, ":/") : 32),
                           url);
}
