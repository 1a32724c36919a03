#include "sip/compose.h"

void splice_add(struct splice *s, size_t at, size_t remove, struct slice insert)
{
    unsigned i = s->count++;

    assert(i < EDIT_LIMIT && at + remove <= MESSAGE_LIMIT);
    for (; i > 0 && s->edits[i - 1].at > at; i--)
        s->edits[i] = s->edits[i - 1];
    s->edits[i] = (struct edit){(uint16_t)at, (uint16_t)remove, insert};
}

void splice_write(struct writer *w, struct slice original, const struct splice *s)
{
    size_t from = 0;

    for (unsigned i = 0; i < s->count; i++) {
        const struct edit *edit = &s->edits[i];
        assert(edit->at >= from && (size_t)edit->at + edit->remove <= original.len);
        write_bytes(w, original.at + from, edit->at - from);
        write_slice(w, edit->insert);
        from = (size_t)edit->at + edit->remove;
    }
    write_slice(w, slice_from(original, from));
}

static const struct {
    uint16_t status;
    struct slice phrase;
} phrases[] = {
    {100, S("Trying")},
    {180, S("Ringing")},
    {181, S("Call Is Being Forwarded")},
    {182, S("Queued")},
    {183, S("Session Progress")},
    {200, S("OK")},
    {202, S("Accepted")},
    {300, S("Multiple Choices")},
    {301, S("Moved Permanently")},
    {302, S("Moved Temporarily")},
    {305, S("Use Proxy")},
    {380, S("Alternative Service")},
    {400, S("Bad Request")},
    {401, S("Unauthorized")},
    {402, S("Payment Required")},
    {403, S("Forbidden")},
    {404, S("Not Found")},
    {405, S("Method Not Allowed")},
    {406, S("Not Acceptable")},
    {407, S("Proxy Authentication Required")},
    {408, S("Request Timeout")},
    {410, S("Gone")},
    {413, S("Request Entity Too Large")},
    {414, S("Request-URI Too Long")},
    {415, S("Unsupported Media Type")},
    {416, S("Unsupported URI Scheme")},
    {420, S("Bad Extension")},
    {421, S("Extension Required")},
    {423, S("Interval Too Brief")},
    {428, S("Use Identity Header")},
    {430, S("Flow Failed")},
    {436, S("Bad Identity Info")},
    {437, S("Unsupported Credential")},
    {438, S("Invalid Identity Header")},
    {440, S("Max-Breadth Exceeded")},
    {480, S("Temporarily Unavailable")},
    {481, S("Call/Transaction Does Not Exist")},
    {482, S("Loop Detected")},
    {483, S("Too Many Hops")},
    {484, S("Address Incomplete")},
    {485, S("Ambiguous")},
    {486, S("Busy Here")},
    {487, S("Request Terminated")},
    {488, S("Not Acceptable Here")},
    {489, S("Bad Event")},
    {491, S("Request Pending")},
    {493, S("Undecipherable")},
    {500, S("Server Internal Error")},
    {501, S("Not Implemented")},
    {502, S("Bad Gateway")},
    {503, S("Service Unavailable")},
    {504, S("Server Time-out")},
    {505, S("Version Not Supported")},
    {513, S("Message Too Large")},
    {600, S("Busy Everywhere")},
    {603, S("Decline")},
    {604, S("Does Not Exist Anywhere")},
    {606, S("Not Acceptable")},
};

struct slice reason_phrase(unsigned status)
{
    for (unsigned i = 0; i < COUNT_OF(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return S("Unknown");
}
