#include "core/origin.h"
#include "shell/digests.h"
#include "shell/stream_parts.h"
#include "shell/tls.h"
#include "sip/upgrade.h"

#define PING_AFTER SECONDS(30) /* of silence; proxies on the way end what is silent for 60 */
#define SAID_AGAIN SECONDS(60) /* between two lines on refused pages */

/* ---- what goes out */

void web_send(struct streams *streams, struct stream *stream, struct slice message)
{
    struct writer w = writer_over(streams->framed, MESSAGE_LIMIT + WEBSOCKET_WRITE_HEAD);

    websocket_write_head(&w, websocket_opcode_of(message), message.len);
    write_slice(&w, message);
    stream_put(streams, stream, writer_slice(&w));
}

/* Frames of control say nothing of whether the phone is in use. */
static void put_control(struct streams *streams, struct stream *stream, struct slice bytes)
{
    instant active_at = stream->active_at;

    stream_put(streams, stream, bytes);
    stream->active_at = active_at;
}

void web_end(struct streams *streams, struct stream *stream, unsigned code)
{
    char bytes[WEBSOCKET_WRITE_HEAD + 2];
    struct writer w = writer_over(bytes, sizeof bytes);

    websocket_write_close(&w, code);
    if (stream->state == STREAM_OPEN)
        stream_put(streams, stream, writer_slice(&w));
    if (stream->state == STREAM_OPEN)
        stream_end(streams, stream);
}

instant web_ping_due(const struct stream *stream)
{
    return stream->is_upgraded && stream->state == STREAM_OPEN
               ? max_u64(stream->active_at, stream->pinged_at) + PING_AFTER
               : NEVER;
}

void web_ping(struct streams *streams, struct stream *stream)
{
    char bytes[WEBSOCKET_WRITE_HEAD];
    struct writer w = writer_over(bytes, sizeof bytes);

    stream->pinged_at = streams->now;
    websocket_write_head(&w, WEBSOCKET_PING, 0);
    put_control(streams, stream, writer_slice(&w));
    if (stream->state == STREAM_OPEN)
        stream_rearm(streams, stream);
}

/* ---- the opening handshake */

static void refuse(struct streams *streams, struct stream *stream, unsigned status, const char *why)
{
    char bytes[UPGRADE_ANSWER_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);

    upgrade_write_refusal(&w, status, why);
    stream_put(streams, stream, writer_slice(&w));
    if (stream->state == STREAM_OPEN)
        stream_end(streams, stream);
}

static void say_origin(struct streams *streams, struct slice origin)
{
    struct slice shown = slice_until(origin, min_u64(origin.len, 100));

    if (streams->origin_said_at && streams->now - streams->origin_said_at < SAID_AGAIN)
        return;
    streams->origin_said_at = streams->now;
    log_line(streams->log, LOG_WARNING,
             "a page from %.*s may not open WebSockets; if it is yours, write it into <origins> in "
             "<stack>",
             (int)shown.len, shown.at);
}

static void answer(struct streams *streams, struct stream *stream, const struct upgrade *upgrade)
{
    char bytes[UPGRADE_ANSWER_LIMIT], to_sign[UPGRADE_SIGNED];
    struct writer w = writer_over(bytes, sizeof bytes);
    uint8_t sum[20];

    upgrade_write_signed(to_sign, upgrade);
    digests_sha1(slice_of(to_sign, sizeof to_sign), sum);
    upgrade_write_answer(&w, sum);
    stream_put(streams, stream, writer_slice(&w));
}

/* The certificate that this connection was shown; one without TLS was shown none. */
static void publish(struct streams *streams, struct stream *stream)
{
    char pem[TLS_CHAIN_TEXT];
    struct writer text = writer_over(pem, sizeof pem);
    struct writer w = writer_over(streams->framed, MESSAGE_LIMIT);

    if (!stream->channel || !tls_write_chain(stream->channel, &text)) {
        refuse(streams, stream, 404, "The certificate is to be had by https alone.");
        return;
    }
    upgrade_write_certificate(&w, writer_slice(&text));
    stream_put(streams, stream, writer_slice(&w));
    if (stream->state == STREAM_OPEN)
        stream_end(streams, stream);
}

/* True if it carries messages from now on. */
static bool open_socket(struct streams *streams, struct stream *stream, struct event *event)
{
    struct upgrade upgrade;
    struct upgrade_event asked = upgrade_read(streams->rest, &stream->scanned, &upgrade);

    if (asked.kind == UPGRADE_NONE) {
        stream_hold(streams);
        return false;
    }
    if (asked.kind == UPGRADE_FETCHED) {
        publish(streams, stream);
        return false;
    }
    if (asked.kind == UPGRADE_REFUSED) {
        refuse(streams, stream, asked.status, asked.why);
        return false;
    }
    if (!origin_is_allowed(streams->obeyed, upgrade.origin)) {
        say_origin(streams, upgrade.origin);
        refuse(streams, stream, 403, "Pages from elsewhere may not open WebSockets here.");
        return false;
    }
    answer(streams, stream, &upgrade);
    if (stream->state != STREAM_OPEN)
        return false;
    streams->rest = slice_from(streams->rest, asked.len);
    stream->is_upgraded = stream->is_known = true;
    stream->begun_at = 0;
    stream->scanned = 0;
    *event = (struct event){.kind = EVENT_OPENED, .flow = stream->flow};
    return true;
}

/* ---- what comes in */

/* Of several pings at once the last alone is answered (RFC 6455 5.5.3). */
static void owe_pong(struct streams *streams, struct slice payload)
{
    struct writer w = writer_over(streams->pong, sizeof streams->pong);

    websocket_write_head(&w, WEBSOCKET_PONG, payload.len);
    write_slice(&w, payload);
    streams->pong_len = w.len;
}

static void pay_pong(struct streams *streams, struct stream *stream)
{
    if (streams->pong_len)
        put_control(streams, stream, slice_of(streams->pong, streams->pong_len));
    streams->pong_len = 0;
}

/* True if it is one; else a keep-alive (RFC 7118 6). */
static bool take_message(struct streams *streams, struct stream *stream, struct slice message,
                         struct event *event)
{
    stream->active_at = streams->now;
    stream->begun_at = 0;
    if (slice_equal(message, S("\r\n\r\n")))
        web_send(streams, stream, S("\r\n"));
    if (slice_trim(message).len == 0)
        return false;
    stream->has_spoken = true;
    *event = (struct event){.kind = EVENT_RECEIVED, .flow = stream->flow, .bytes = message};
    return true;
}

/* The next frames; true if they gave an event. */
static bool read_frames(struct streams *streams, struct stream *stream, struct event *event)
{
    char *at = (char *)(uintptr_t)streams->rest.at; /* of `held` or `scratch`, which are ours */
    struct websocket_event frame =
        websocket_next(&stream->socket, at, &streams->rest.len, MESSAGE_LIMIT);

    switch (frame.kind) {
    case WEBSOCKET_NONE:
        pay_pong(streams, stream);
        if (streams->current)
            stream_hold(streams);
        return false;
    case WEBSOCKET_MESSAGE:
        streams->rest = slice_from(streams->rest, frame.used);
        return take_message(streams, stream, frame.payload, event);
    case WEBSOCKET_CONTROL:
        if (frame.opcode == WEBSOCKET_PING)
            owe_pong(streams, frame.payload);
        if (frame.opcode == WEBSOCKET_CLOSE)
            web_end(streams, stream, frame.code);
        return false;
    case WEBSOCKET_BROKEN: web_end(streams, stream, frame.code); return false;
    }
    return false;
}

bool web_next(struct streams *streams, struct event *event)
{
    while (streams->current) {
        struct stream *stream = streams->current;

        if (stream->is_upgraded ? read_frames(streams, stream, event)
                                : open_socket(streams, stream, event))
            return true;
    }
    streams->pong_len = 0;
    return false;
}

void streams_obey(struct streams *streams, const struct settings *settings)
{
    streams->obeyed = settings;
}
