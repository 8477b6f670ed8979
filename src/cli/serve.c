/* ingot serve, gateway and scheduler: the daemon in its roles, with its log on standard error. */
#include "cli.h"

#include "core/instant.h"
#include "core/toolkit.h"
#include "daemon/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_DEFAULT "ingot.yaml"

/* One line of logfmt, written whole, so that threads do not mix theirs. */
static void log_line(void *context, enum ingot_level level, const char *message)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char time[IGT_TIME_TEXT_SIZE];
    (void)context;
    igt_time_format(igt_now_us(NULL), time);
    fprintf(stderr, "time=%s level=%s %s\n", time, names[level], message);
}

static int run(const struct igt_cli *cli, const char *verb, enum igt_role role, int argc,
               char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
    const struct ingot_toolkit toolkit = {.log = log_line};
    const char *path = CONFIG_DEFAULT;
    struct igt_config *config = NULL;
    struct igt_daemon *daemon = NULL;
    struct ingot_error err = {0};
    int option;
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (option != 'c')
            return igt_cli_usage(verb);
        path = optarg;
    }
    if (optind < argc)
        return igt_cli_usage(verb);
    enum ingot_status status = igt_config_load(path, &config, &err);
    if (status) {
        igt_cli_print_error(&err);
        if (status == INGOT_NOT_FOUND)
            fprintf(stderr, "A configuration says where events go. The smallest one:\n\n"
                            "    destinations:\n"
                            "      billing:\n"
                            "        kind: http\n"
                            "        url: https://billing.example/hook\n"
                            "        events: [\"*\"]\n\n"
                            "Write it to " CONFIG_DEFAULT ", or name a file with -c.\n");
        return IGT_EXIT_USAGE;
    }
    if (cli->store_given)
        config->store = cli->store_url;
    struct ingot_options store;
    if (ingot_options_from_url(config->store, &store, &err) != INGOT_OK) {
        igt_config_destroy(config);
        igt_cli_print_error(&err);
        return IGT_EXIT_USAGE;
    }
    status = igt_daemon_start(config, role, &toolkit, &daemon, &err);
    if (!status)
        status = igt_daemon_run(daemon, &err);
    igt_daemon_stop(daemon);
    igt_config_destroy(config);
    if (!status)
        return IGT_EXIT_DONE;
    igt_cli_print_error(&err);
    return IGT_EXIT_STORE;
}

int igt_verb_serve(const struct igt_cli *cli, int argc, char **argv)
{
    return run(cli, "serve", IGT_ROLE_BOTH, argc, argv);
}

int igt_verb_gateway(const struct igt_cli *cli, int argc, char **argv)
{
    return run(cli, "gateway", IGT_ROLE_GATEWAY, argc, argv);
}

int igt_verb_scheduler(const struct igt_cli *cli, int argc, char **argv)
{
    return run(cli, "scheduler", IGT_ROLE_SCHEDULER, argc, argv);
}
