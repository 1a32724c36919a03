/*
 * An XML file as a tree, by the rules of SIP Witch: an attribute is a child element.  `<x a="v"/>`
 * and `<x><a>v</a></x>` are the same.
 *
 * Text is trimmed.  An element has text or child elements, not both; but the root may have both,
 * the text first.  Entities are the five of XML and numeric ones.  A DOCTYPE may name a DTD, which
 * is not read, but not hold one.
 *
 * The tree owns its memory; it may hold secrets and is wiped when it is freed.
 */
#pragma once

#include "base/slice.h"
#include "config/report.h"

#define DOCUMENT_DEPTH 64u          /* elements within elements */
#define DOCUMENT_VALUE (1u << 20)   /* bytes of one text or attribute */
#define DOCUMENT_BYTES (256u << 20) /* of a file: 2 million users */

struct node {
    struct slice name;
    struct slice text;
    struct place place;
    uint32_t first_child; /* 0 = none */
    uint32_t last_child;
    uint32_t next; /* sibling */
    bool is_attribute;
};

struct document {
    struct node *nodes; /* the first is never used, the second is the root */
    uint32_t count;
    uint32_t limit;
    char *texts;
    size_t texts_length;
    size_t texts_limit;
};

/* False if there is a fault; it is in the report.  Free it in any case. */
bool document_parse(struct document *document, struct slice xml, struct report *report);
void document_free(struct document *document);

static inline const struct node *document_root(const struct document *document)
{
    return &document->nodes[1];
}

/* NULL = no more. */
static inline const struct node *document_first(const struct document *document,
                                                const struct node *parent)
{
    return parent->first_child ? &document->nodes[parent->first_child] : NULL;
}

static inline const struct node *document_next(const struct document *document,
                                               const struct node *node)
{
    return node->next ? &document->nodes[node->next] : NULL;
}
