/*
 * Writes what follows from the configuration's grammar (config/schema.h): `rng` the RelaxNG schema,
 * `mdoc` the lists of the manual.  A tool of the build, not installed.
 */
#include "config/schema.h"

#include <stdio.h>

/* ---- RelaxNG */

static void write_keys(const struct schema *schema, unsigned depth);

static void indent(unsigned depth)
{
    printf("%*s", (int)(2 * depth), "");
}

/* An attribute or an element of that name, with this content. */
static void write_either(const struct key *key, unsigned depth, const char *content)
{
    indent(depth);
    printf("<choice><attribute name=\"%s\">%s</attribute>", key->name, content);
    printf("<element name=\"%s\">%s</element></choice>\n", key->name, content);
}

static void write_number(const struct key *key, unsigned depth)
{
    char content[200];

    snprintf(content, sizeof content,
             "<data type=\"integer\"><param name=\"minInclusive\">%llu</param>"
             "<param name=\"maxInclusive\">%llu</param></data>",
             (unsigned long long)key->least, (unsigned long long)key->most);
    write_either(key, depth, content);
}

static void write_names(unsigned depth)
{
    indent(depth);
    printf("<zeroOrMore><choice><attribute><anyName/></attribute>"
           "<element><anyName/><text/></element></choice></zeroOrMore>\n");
}

static void write_content(const struct schema *schema, unsigned depth)
{
    const char *tag = schema->is_list ? "choice" : "interleave";

    if (schema->has_names) {
        write_names(depth);
        return;
    }
    indent(depth);
    printf(schema->is_list ? "<zeroOrMore><%s>\n" : "<%s>\n", tag);
    write_keys(schema, depth + 1);
    indent(depth);
    printf(schema->is_list ? "</%s></zeroOrMore>\n" : "</%s>\n", tag);
}

static void write_key(const struct key *key, unsigned depth)
{
    switch (key->kind) {
    case KEY_TEXT:
    case KEY_BOOLEAN: write_either(key, depth, "<text/>"); return;
    case KEY_NUMBER: write_number(key, depth); return;
    case KEY_NOTED:
        indent(depth);
        printf("<choice><attribute name=\"%s\"/><element name=\"%s\"><ref name=\"anything\"/>"
               "</element></choice>\n",
               key->name, key->name);
        return;
    case KEY_SECTION:
    case KEY_LIST: break;
    }
    indent(depth);
    printf("<element name=\"%s\">\n", key->name);
    write_content(key->section, depth + 1);
    indent(depth);
    printf("</element>\n");
}

static void write_keys(const struct schema *schema, unsigned depth)
{
    for (unsigned i = 0; i < schema->count; i++) {
        const struct key *key = &schema->keys[i];
        const char *times = schema == &schema_root ? "zeroOrMore" : "optional";

        if (schema->is_list) {
            write_key(key, depth);
            continue;
        }
        indent(depth);
        printf("<%s>\n", times);
        write_key(key, depth + 1);
        indent(depth);
        printf("</%s>\n", times);
    }
}

static void write_rng(void)
{
    printf("<?xml version=\"1.0\"?>\n"
           "<!-- The grammar of sipwitch.conf(5).  Made by sipwitch-schema; do not edit. -->\n"
           "<grammar xmlns=\"http://relaxng.org/ns/structure/1.0\"\n"
           "  datatypeLibrary=\"http://www.w3.org/2001/XMLSchema-datatypes\">\n"
           "  <start>\n    <choice>\n      <element name=\"sipwitch\">\n        <interleave>\n"
           "          <text/>\n");
    write_keys(&schema_root, 5);
    printf("        </interleave>\n      </element>\n");
    for (unsigned i = 0; i < schema_root.count; i++)
        if (schema_root.keys[i].kind == KEY_LIST)
            write_key(&schema_root.keys[i], 3);
    printf("    </choice>\n  </start>\n  <define name=\"anything\">\n    <zeroOrMore><choice>"
           "<attribute><anyName/></attribute><text/><element><anyName/><ref name=\"anything\"/>"
           "</element></choice></zeroOrMore>\n  </define>\n</grammar>\n");
}

/* ---- the manual */

#define LINE 80 /* bytes of text; mandoc minds more */

static void write_line(const char *text, int len)
{
    while (len > LINE) {
        int cut = LINE;
        while (cut && text[cut] != ' ')
            cut--;
        if (!cut)
            break;
        printf("%.*s\n", cut, text);
        text += cut + 1;
        len -= cut + 1;
    }
    printf("%.*s\n", len, text);
}

/* Each sentence begins a line. */
static void write_sentences(const char *text)
{
    const char *end;

    while ((end = strstr(text, ". "))) {
        write_line(text, (int)(end - text) + 1);
        text = end + 2;
    }
    write_line(text, (int)strlen(text));
}

static void write_item(const struct key *key)
{
    printf(".It Cm %s\n", key->name);
    write_sentences(key->meaning);
    if (key->kind == KEY_NUMBER && key->most)
        printf("A number from %llu to %llu.\n", (unsigned long long)key->least,
               (unsigned long long)key->most);
    if (key->preset) {
        char text[256];
        write_line(text, snprintf(text, sizeof text, "Default: %s.", key->preset));
    }
    if (key->is_for_start)
        printf("A reload does not change it.\n");
}

static bool has_effect(const struct key *key)
{
    return key->kind != KEY_NOTED;
}

static void write_list(const struct schema *schema)
{
    printf(".Bl -tag -width Ds\n");
    for (unsigned i = 0; i < schema->count; i++)
        if (has_effect(&schema->keys[i]))
            write_item(&schema->keys[i]);
    printf(".El\n");
}

/* An item of a list that says the same of a key as one before it. */
static bool is_told(const struct schema *list, unsigned item, const struct key *key)
{
    for (unsigned i = 0; i < item; i++) {
        const struct schema *keys = list->keys[i].section;
        for (unsigned j = 0; keys && j < keys->count; j++)
            if (strcmp(keys->keys[j].name, key->name) == 0 &&
                strcmp(keys->keys[j].meaning, key->meaning) == 0)
                return true;
    }
    return false;
}

static void write_key_names(const struct schema *schema)
{
    bool is_first = true;

    for (unsigned i = 0; i < schema->count; i++) {
        if (!has_effect(&schema->keys[i]))
            continue;
        printf("%s%s", is_first ? "Keys:\n.Cm " : " , ", schema->keys[i].name);
        is_first = false;
    }
    printf(" .\n");
}

static void write_items(const struct schema *list)
{
    printf(".Bl -tag -width Ds\n");
    for (unsigned i = 0; i < list->count; i++) {
        const struct key *item = &list->keys[i];
        if (!has_effect(item))
            continue;
        printf(".It Ql <%s>\n", item->name);
        write_sentences(item->meaning);
        write_key_names(item->section);
    }
    printf(".El\n.Pp\nTheir keys:\n.Bl -tag -width Ds\n");
    for (unsigned i = 0; i < list->count; i++) {
        const struct schema *keys = list->keys[i].section;
        for (unsigned j = 0; keys && j < keys->count; j++)
            if (has_effect(&keys->keys[j]) && !is_told(list, i, &keys->keys[j]))
                write_item(&keys->keys[j]);
    }
    printf(".El\n");
}

static bool has_keys(const struct schema *schema)
{
    for (unsigned i = 0; i < schema->count; i++)
        if (has_effect(&schema->keys[i]))
            return true;
    return false;
}

static void write_section(const struct key *section)
{
    const struct schema *schema = section->section;

    if (!schema || !has_keys(schema))
        return;
    printf(".Ss <%s>: %s\n", section->name, section->meaning);
    if (schema == &schema_templates) {
        printf("A\n.Ql <user>\nand an\n.Ql <admin> ,\neach with the keys of a user but "
               "for id and extension:\nwhat accounts of the system have.\n");
        return;
    }
    if (schema->is_list)
        write_items(schema);
    else
        write_list(schema);
    if (schema == &schema_nodes) {
        printf(".Pp\nA\n.Ql <route>\nhas:\n");
        write_list(&schema_route);
    }
}

static void write_noted(const char *path, const struct schema *schema)
{
    for (unsigned i = 0; i < schema->count; i++) {
        const struct key *key = &schema->keys[i];
        char below[100];

        snprintf(below, sizeof below, "%s%s%s", path, *path ? "/" : "", key->name);
        if (!has_effect(key)) {
            printf(".It Cm %s\n", below);
            write_sentences(key->meaning);
        } else if (key->section && key->section != &schema_templates)
            write_noted(below, key->section);
    }
}

static void write_mdoc(void)
{
    for (unsigned i = 0; i < schema_root.count; i++)
        write_section(&schema_root.keys[i]);
    printf(".Ss Keys without effect\nThese belong to GNU SIP Witch.\nEach is accepted, and noted "
           "once when the configuration is read.\n.Bl -tag -width Ds -compact\n");
    write_noted("", &schema_root);
    printf(".El\n");
}

int main(int count, char **words)
{
    const char *what = count == 2 ? words[1] : "";

    if (strcmp(what, "rng") == 0) {
        write_rng();
    } else if (strcmp(what, "mdoc") == 0) {
        write_mdoc();
    } else {
        fprintf(stderr, "Usage: sipwitch-schema rng|mdoc\n");
        return 1;
    }
    return 0;
}
