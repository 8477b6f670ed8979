/*
 * Text, JSON and tables on standard output; see cli.h. Everything from a store
 * passes through here on its way to a terminal.
 */
#include "cli.h"

#include "core/bytes.h"
#include "core/instant.h"
#include "core/json.h"

#include <assert.h>
#include <langinfo.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

/* What is shown of an error's message; and of a cell, if on a terminal. */
#define ERROR_COLUMNS 80
#define CELL_COLUMNS 40

#define CUT "..."

#define COLUMNS_MAX 8

/* ---- characters --------------------------------------------------------- */

/* Appends the character, or its bytes escaped; returns how many columns that takes. */
static size_t add_character(struct igt_buffer *buffer, const uint8_t *at, size_t len, int is_utf8)
{
    int width = -1;
    if (len == 1 && strchr("\t\n\r", at[0]) && at[0]) {
        igt_buffer_add(buffer, " ", 1);
        return 1;
    }
    if (len == 1 || (len > 1 && is_utf8)) {
        uint32_t character = igt_character_decode(at, len);
        width = igt_character_is_printable(character) ? wcwidth((wchar_t)character) : -1;
    }
    if (width >= 0) {
        igt_buffer_add(buffer, at, len);
        return (size_t)width;
    }
    for (size_t i = 0; i < len || i == 0; i++)
        igt_buffer_add_format(buffer, "\\x%02x", at[i]);
    return 4 * (len ? len : 1);
}

size_t igt_cli_add_text(struct igt_buffer *buffer, struct ingot_bytes text, size_t columns)
{
    int is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const uint8_t *bytes = text.data;
    size_t used = 0, cut = buffer->len, cut_used = 0; /* the last place where CUT fits behind */
    for (size_t i = 0, len; i < text.len; i += len ? len : 1) {
        if (used + strlen(CUT) <= columns) {
            cut = buffer->len;
            cut_used = used;
        }
        len = igt_character_len((struct ingot_bytes){bytes + i, text.len - i});
        used += add_character(buffer, bytes + i, len, is_utf8);
        if (used > columns && !buffer->failed) {
            buffer->len = cut;
            igt_buffer_add_text(buffer, CUT);
            return cut_used + strlen(CUT);
        }
    }
    return used;
}

size_t igt_cli_columns(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        return IGT_ALL_COLUMNS;
    return size.ws_col;
}

void igt_cli_add_time(struct igt_buffer *buffer, int64_t time_us)
{
    struct igt_civil civil;
    if (time_us == INGOT_NO_TIME) {
        igt_buffer_add_text(buffer, "-");
        return;
    }
    igt_time_to_civil(time_us, &civil);
    igt_buffer_add_format(buffer, "%04lld-%02d-%02dT%02d:%02d:%02dZ", (long long)civil.year,
                          civil.month, civil.day, civil.hour, civil.minute, civil.second);
}

/* The text of the error's member "message"; the error itself if it has none. */
static enum ingot_status find_message(struct ingot_bytes error, struct igt_arena *arena,
                                      struct ingot_bytes *ret_message)
{
    struct igt_json value, key, member;
    struct ingot_bytes message = error;
    enum ingot_status status = igt_json_parse(error, &value, NULL);
    if (!status && value.kind == IGT_JSON_OBJECT) {
        struct igt_json_walk walk = igt_json_walk(&value);
        while (igt_json_next(&walk, &key, &member))
            if (ingot_bytes_equal(key.raw, ingot_bytes_of("\"message\"")) &&
                member.kind == IGT_JSON_STRING)
                message = igt_json_text(&member, arena);
    }
    if (status == INGOT_NOMEM || !message.data)
        return INGOT_NOMEM;
    *ret_message = message;
    return INGOT_OK;
}

size_t igt_cli_add_error(struct igt_buffer *buffer, struct ingot_bytes error)
{
    struct igt_arena *arena = igt_arena_create();
    struct ingot_bytes message = {NULL, 0};
    if (!arena || (error.data && find_message(error, arena, &message) != INGOT_OK))
        buffer->failed = 1;
    size_t columns = igt_cli_add_text(buffer, message, ERROR_COLUMNS);
    igt_arena_destroy(arena);
    return columns;
}

/* ---- JSON --------------------------------------------------------------- */

static void write_escaped(uint32_t character)
{
    if (character > 0xffff) /* RFC 8259 section 7: a surrogate pair */
        printf("\\u%04x\\u%04x", 0xd7c0 + (character >> 10), 0xdc00 + (character & 0x3ff));
    else
        printf("\\u%04x", character);
}

enum ingot_status igt_cli_write_json(struct igt_buffer *buffer, struct ingot_error *err)
{
    const uint8_t *bytes = (const uint8_t *)buffer->data;
    size_t clean = 0; /* where the run that needs no escape begins */
    if (buffer->failed)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out while writing JSON");
    for (size_t i = 0, len; i < buffer->len; i += len ? len : 1) {
        len = 1;
        if (bytes[i] >= ' ' && bytes[i] < 0x7f) /* nearly all there is */
            continue;
        len = igt_character_len((struct ingot_bytes){bytes + i, buffer->len - i});
        uint32_t character = len ? igt_character_decode(bytes + i, len) : 0xfffd;
        if (len && igt_character_is_printable(character))
            continue;
        fwrite(bytes + clean, 1, i - clean, stdout);
        clean = i + (len ? len : 1);
        if (character < 0x20) /* RFC 8259 allows it between values only */
            putchar(' ');
        else
            write_escaped(character);
    }
    if (buffer->len > clean)
        fwrite(bytes + clean, 1, buffer->len - clean, stdout);
    igt_buffer_reset(buffer);
    return INGOT_OK;
}

enum ingot_status igt_cli_write_json_line(struct igt_buffer *buffer, struct ingot_error *err)
{
    enum ingot_status status = igt_cli_write_json(buffer, err);
    if (!status)
        putchar('\n');
    return status;
}

/* ---- tables ------------------------------------------------------------- */

struct igt_table {
    struct libscols_table *lines;
    struct libscols_line *line; /* the row that is being filled */
    size_t column;              /* where its next cell goes */
    struct igt_buffer cell;
    size_t cell_columns;        /* what a cell may take */
    size_t widths[COLUMNS_MAX]; /* what it must, so that it stands under what was printed */
    int failed;                 /* memory ran out */
};

struct igt_table *igt_table_create(const struct igt_column *columns, size_t column_count)
{
    assert(column_count <= COLUMNS_MAX);
    struct igt_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->lines = scols_new_table();
    if (!table->lines) {
        igt_table_destroy(table);
        return NULL;
    }
    table->cell_columns = igt_cli_columns() == IGT_ALL_COLUMNS ? IGT_ALL_COLUMNS : CELL_COLUMNS;
    /* igt_cli_add_text has escaped all; a second time would show it wrong. */
    scols_table_enable_noencoding(table->lines, 1);
    scols_table_enable_minout(table->lines, 1);
    for (size_t i = 0; i < column_count; i++) {
        int flags = columns[i].align == IGT_ALIGN_RIGHT ? SCOLS_FL_RIGHT
                    : columns[i].align == IGT_ALIGN_CUT ? SCOLS_FL_TRUNC
                                                        : 0;
        table->failed |= !scols_table_new_column(table->lines, columns[i].heading, 0, flags);
    }
    return table;
}

void igt_table_destroy(struct igt_table *table)
{
    if (!table)
        return;
    scols_unref_table(table->lines);
    igt_buffer_fini(&table->cell);
    free(table);
}

void igt_table_row(struct igt_table *table)
{
    if (!table)
        return;
    table->line = scols_table_new_line(table->lines, NULL);
    table->failed |= !table->line;
    table->column = 0;
}

/* Puts what stands in the buffer, and takes so many columns, into the next cell. */
static void end_cell(struct igt_table *table, size_t columns)
{
    if (columns < table->widths[table->column])
        igt_buffer_add_format(&table->cell, "%*s", (int)(table->widths[table->column] - columns),
                              "");
    table->failed |= table->cell.failed;
    if (!table->failed && table->cell.len)
        table->failed |= scols_line_set_data(table->line, table->column, table->cell.data) != 0;
    table->column++;
    igt_buffer_reset(&table->cell);
}

void igt_table_text(struct igt_table *table, struct ingot_bytes text)
{
    if (table)
        end_cell(table, igt_cli_add_text(&table->cell, text, table->cell_columns));
}

void igt_table_number(struct igt_table *table, uint64_t number)
{
    if (!table)
        return;
    igt_buffer_add_format(&table->cell, "%*llu", (int)table->widths[table->column],
                          (unsigned long long)number);
    end_cell(table, table->cell.len);
}

void igt_table_time(struct igt_table *table, int64_t time_us)
{
    if (!table)
        return;
    igt_cli_add_time(&table->cell, time_us);
    end_cell(table, table->cell.len);
}

void igt_table_error(struct igt_table *table, struct ingot_bytes error)
{
    if (table)
        end_cell(table, igt_cli_add_error(&table->cell, error));
}

/* The hints that libsmartcols takes give way to headings, so cells are padded. The last ends anywhere. */
static void keep_widths(struct igt_table *table)
{
    for (size_t i = 0; i + 1 < scols_table_get_ncols(table->lines); i++) {
        size_t width = scols_column_get_width(scols_table_get_column(table->lines, i));
        if (width > table->widths[i])
            table->widths[i] = width;
    }
}

enum ingot_status igt_table_print(struct igt_table *table, struct ingot_error *err)
{
    if (!table || table->failed || scols_print_table(table->lines) != 0)
        return ingot_error_set(err, INGOT_NOMEM, "memory ran out while writing a table");
    keep_widths(table);
    scols_table_remove_lines(table->lines);
    scols_table_enable_noheadings(table->lines, 1);
    return INGOT_OK;
}
