#include "config/document.h"

#include <expat.h>
#include <stdlib.h>

struct reading {
    struct document *document;
    struct report *report;
    XML_Parser parser;
    unsigned depth;
    uint32_t open[DOCUMENT_DEPTH];     /* elements that are open, by index */
    size_t text_start[DOCUMENT_DEPTH]; /* where their text began in document->texts */
    size_t end;                        /* of the root, in the file; 0 = not yet */
};

/* ---- memory that is wiped when it is given back, for expat's copies of secrets, too */

static void *wiped_malloc(size_t size)
{
    size_t *at = malloc(size + 16);

    if (!at)
        return NULL;
    *at = size;
    return (char *)at + 16;
}

static void wiped_free(void *at)
{
    if (!at)
        return;
    char *start = (char *)at - 16;
    explicit_bzero(at, *(size_t *)(void *)start);
    free(start);
}

static void *wiped_realloc(void *at, size_t size)
{
    void *fresh = wiped_malloc(size);

    if (fresh && at) {
        size_t old = *(size_t *)(void *)((char *)at - 16);

        memcpy(fresh, at, old < size ? old : size);
        wiped_free(at);
    }
    return fresh;
}

static bool make_room(void **at, size_t used, size_t need, size_t *limit, size_t size)
{
    size_t wanted = *limit ? *limit : 1024;

    if (need <= *limit)
        return true;
    while (wanted < need)
        wanted *= 2;
    void *fresh = wiped_malloc(wanted * size);
    if (!fresh)
        return false;
    if (*at)
        memcpy(fresh, *at, used * size);
    wiped_free(*at);
    *at = fresh;
    *limit = wanted;
    return true;
}

/* ---- what expat reports */

static struct place place_now(const struct reading *r)
{
    return (struct place){(uint32_t)XML_GetCurrentLineNumber(r->parser),
                          (uint32_t)XML_GetCurrentColumnNumber(r->parser) + 1};
}

static void stop(struct reading *r)
{
    XML_StopParser(r->parser, XML_FALSE);
}

/* Texts move when they grow: until the end a slice's `at` is an offset. */
static bool keep_text(struct reading *r, const char *text, size_t len)
{
    struct document *d = r->document;
    void *at = d->texts;

    if (!make_room(&at, d->texts_length, d->texts_length + len, &d->texts_limit, 1))
        return report_fault(r->report, place_now(r), "no memory for a file of this size");
    d->texts = at;
    memcpy(d->texts + d->texts_length, text, len);
    d->texts_length += len;
    return true;
}

static bool keep_value(struct reading *r, const char *text, struct slice *value)
{
    size_t start = r->document->texts_length, len = strlen(text);

    *value = slice_of((const char *)(uintptr_t)start, len);
    if (len > DOCUMENT_VALUE)
        return report_fault(r->report, place_now(r), "a value of more than %u bytes; shorten it",
                            DOCUMENT_VALUE);
    return keep_text(r, text, len);
}

/* The new node's index; 0 if there is no room. */
static uint32_t add_node(struct reading *r, const char *name, bool is_attribute)
{
    struct document *d = r->document;
    uint32_t parent = r->depth ? r->open[r->depth - 1] : 0;
    size_t limit = d->limit;
    void *at = d->nodes;
    struct node node = {.place = place_now(r), .is_attribute = is_attribute};

    if (!keep_value(r, name, &node.name))
        return 0;
    if (!make_room(&at, d->count, d->count + 1, &limit, sizeof *d->nodes)) {
        report_fault(r->report, node.place, "no memory for a file of this size");
        return 0;
    }
    d->nodes = at;
    d->limit = (uint32_t)limit;
    d->nodes[d->count] = node;
    if (d->nodes[parent].last_child)
        d->nodes[d->nodes[parent].last_child].next = d->count;
    else
        d->nodes[parent].first_child = d->count;
    d->nodes[parent].last_child = d->count;
    return d->count++;
}

static bool add_attributes(struct reading *r, const char **attributes)
{
    for (; attributes[0]; attributes += 2) {
        struct slice value;
        uint32_t index = add_node(r, attributes[0], true);

        if (!index || !keep_value(r, attributes[1], &value))
            return false;
        r->document->nodes[index].text = value;
    }
    return true;
}

static bool has_blank_text(const struct reading *r, unsigned depth)
{
    const struct document *d = r->document;

    for (size_t i = r->text_start[depth]; i < d->texts_length; i++)
        if (!strchr(" \t\r\n", d->texts[i]))
            return false;
    return true;
}

static bool refuse_mixture(struct reading *r)
{
    return report_fault(r->report, place_now(r),
                        "text and elements side by side; put the text into an element of its own");
}

static bool has_elements(const struct document *d, const struct node *parent)
{
    return parent->last_child && !d->nodes[parent->last_child].is_attribute;
}

/* The root alone may have a text before its elements: the name of the server's state. */
static bool keep_root_text(struct reading *r)
{
    struct document *d = r->document;
    struct node *root = &d->nodes[r->open[0]];

    if (r->depth != 1 || has_elements(d, root))
        return refuse_mixture(r);
    root->text =
        slice_of((const char *)(uintptr_t)r->text_start[0], d->texts_length - r->text_start[0]);
    r->text_start[0] = d->texts_length;
    return true;
}

/* White space before a child element: nothing to keep. */
static bool drop_blank_text(struct reading *r)
{
    if (!r->depth)
        return true;
    if (!has_blank_text(r, r->depth - 1))
        return keep_root_text(r);
    r->document->texts_length = r->text_start[r->depth - 1];
    return true;
}

static bool open_element(struct reading *r, const char *name, const char **attributes)
{
    if (r->depth == DOCUMENT_DEPTH)
        return report_fault(r->report, place_now(r),
                            "more than %u elements within one another; write it flatter",
                            DOCUMENT_DEPTH);
    if (!drop_blank_text(r))
        return false;
    uint32_t index = add_node(r, name, false);
    if (!index)
        return false;
    r->open[r->depth++] = index;
    bool ok = add_attributes(r, attributes);
    r->text_start[r->depth - 1] = r->document->texts_length;
    return ok;
}

static bool close_element(struct reading *r)
{
    struct document *d = r->document;
    struct node *node = &d->nodes[r->open[--r->depth]];
    size_t start = r->text_start[r->depth];

    if (has_elements(d, node)) {
        if (!has_blank_text(r, r->depth))
            return refuse_mixture(r);
        d->texts_length = start;
    } else {
        node->text = slice_of((const char *)(uintptr_t)start, d->texts_length - start);
    }
    if (r->depth == 0)
        r->end =
            (size_t)XML_GetCurrentByteIndex(r->parser) + (size_t)XML_GetCurrentByteCount(r->parser);
    else /* what comes next belongs to the parent */
        r->text_start[r->depth - 1] = d->texts_length;
    return true;
}

static void on_start(void *self, const char *name, const char **attributes)
{
    if (!open_element(self, name, attributes))
        stop(self);
}

static void on_end(void *self, const char *name)
{
    struct reading *r = self;

    (void)name;
    if (!close_element(r) || r->depth == 0)
        stop(r);
}

static void on_text(void *self, const char *text, int len)
{
    struct reading *r = self;
    size_t start = r->text_start[r->depth - 1];

    if (r->document->texts_length - start + (size_t)len > DOCUMENT_VALUE) {
        report_fault(r->report, place_now(r), "a text of more than %u bytes; shorten it",
                     DOCUMENT_VALUE);
        stop(r);
    } else if (!keep_text(r, text, (size_t)len)) {
        stop(r);
    }
}

static void on_doctype(void *self, const char *name, const char *system, const char *public,
                       int has_internal_subset)
{
    struct reading *r = self;

    (void)name, (void)system, (void)public;
    if (!has_internal_subset)
        return;
    report_fault(r->report, place_now(r),
                 "a DOCTYPE with declarations; remove what stands in its square brackets");
    stop(r);
}

/* ---- the whole */

static bool report_xml_fault(struct reading *r)
{
    enum XML_Error error = XML_GetErrorCode(r->parser);
    const char *remedy = "is this an XML file?";

    if (error == XML_ERROR_INVALID_TOKEN)
        remedy = "write values in quotes, & as &amp; and < as &lt;";
    else if (error == XML_ERROR_UNDEFINED_ENTITY)
        remedy = "only &amp; &lt; &gt; &quot; &apos; and numbers like &#233; are known";
    else if (error == XML_ERROR_TAG_MISMATCH)
        remedy = "close the elements in the reverse order of their opening";
    else if (error == XML_ERROR_NO_ELEMENTS)
        remedy = "there must be one, such as <sipwitch>";
    else if (error == XML_ERROR_UNCLOSED_TOKEN || error == XML_ERROR_NO_MEMORY)
        remedy = "the file ends too early";
    else if (error == XML_ERROR_DUPLICATE_ATTRIBUTE)
        remedy = "remove one of the two";
    return report_fault(r->report, place_now(r), "%s; %s", XML_ErrorString(error), remedy);
}

static struct place place_of(struct slice xml, size_t at)
{
    struct place place = {1, 1};

    for (size_t i = 0; i < at; i++) {
        place.column++;
        if (xml.at[i] == '\n')
            place = (struct place){place.line + 1, 1};
    }
    return place;
}

/* Length of the white space, comment or processing instruction that `rest` starts with, or 0. */
static size_t skippable(struct slice rest)
{
    bool is_comment = slice_starts(rest, S("<!--"));
    const char *end = NULL;

    if (rest.at[0] && strchr(" \t\r\n", rest.at[0]))
        return 1;
    if (is_comment)
        end = memmem(rest.at, rest.len, "-->", 3);
    else if (slice_starts(rest, S("<?")))
        end = memmem(rest.at, rest.len, "?>", 2);
    return end ? (size_t)(end - rest.at) + (is_comment ? 3 : 2) : 0;
}

/* Anything else that follows the root is left unread. */
static void check_rest(struct reading *r, struct slice xml)
{
    struct slice root = document_root(r->document)->name;
    size_t at = r->end, len = 1;

    while (at < xml.len && len)
        at += len = skippable(slice_from(xml, at));
    if (at < xml.len)
        report_warning(r->report, place_of(xml, at),
                       "what follows the end of <%.*s> is ignored; remove it", (int)root.len,
                       root.at);
}

static struct slice settle(const struct document *d, struct slice offset)
{
    return slice_of(d->texts + (uintptr_t)offset.at, offset.len);
}

/* The texts no longer move: offsets become slices. */
static void settle_texts(struct document *d)
{
    for (uint32_t i = 1; i < d->count; i++) {
        struct node *node = &d->nodes[i];

        node->name = settle(d, node->name);
        node->text = slice_trim(settle(d, node->text));
    }
}

static bool parse(struct reading *r, struct slice xml)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    enum XML_Status status = XML_Parse(r->parser, xml.at, (int)xml.len, XML_TRUE);
    if (r->report->has_fault)
        return false;
    if (!r->end)
        return status == XML_STATUS_OK ? false : report_xml_fault(r);
    settle_texts(r->document);
    check_rest(r, xml);
    return true;
}

bool document_parse(struct document *document, struct slice xml, struct report *report)
{
    static const XML_Memory_Handling_Suite wiped = {wiped_malloc, wiped_realloc, wiped_free};
    struct reading reading = {.document = document, .report = report};
    void *nodes = NULL;
    size_t limit = 0;

    *document = (struct document){.count = 1};
    if (xml.len > DOCUMENT_BYTES)
        return report_fault(report, (struct place){0}, "larger than %u MiB; split it",
                            DOCUMENT_BYTES >> 20);
    reading.parser = XML_ParserCreate_MM(NULL, &wiped, NULL);
    bool ok = reading.parser && make_room(&nodes, 0, 1, &limit, sizeof *document->nodes);
    document->nodes = nodes;
    document->limit = (uint32_t)limit;
    if (ok) {
        document->nodes[0] = (struct node){0};
        ok = parse(&reading, xml);
    } else {
        report_fault(report, (struct place){0}, "no memory to read it");
    }
    if (reading.parser)
        XML_ParserFree(reading.parser);
    return ok;
}

void document_free(struct document *document)
{
    wiped_free(document->nodes);
    wiped_free(document->texts);
    *document = (struct document){0};
}
