#include "shell/errand.h"

#include "base/json.h"
#include "core/listing.h"
#include "shell/loop.h"

#include <stdlib.h>

#define RECORDS_AT_ONCE 32u /* rows of a part */
#define RECORD_ROW 5120u    /* bytes of one: its texts, each character escaped, and its legs */
#define USUAL_LEVEL 1u      /* of users, as in the configuration */

struct errand {
    struct errands *all;
    uint32_t client; /* 0 = free */
};

struct errands {
    struct loop *loop;
    struct control *control;
    struct errand at[ERRANDS];
    char rows[RECORDS_AT_ONCE * RECORD_ROW]; /* which a client has room for */
};

static const char busy[] = "too many others wait for the same; try again";

struct errands *errands_create(struct loop *loop, struct control *control)
{
    struct errands *errands = calloc(1, sizeof *errands);

    if (errands) {
        errands->loop = loop;
        errands->control = control;
    }
    return errands;
}

void errands_destroy(struct errands *errands)
{
    free(errands);
}

static struct errand *begin(struct errands *errands, uint32_t client)
{
    for (unsigned i = 0; i < ERRANDS; i++)
        if (!errands->at[i].client) {
            errands->at[i] = (struct errand){errands, client};
            return &errands->at[i];
        }
    return NULL;
}

static void end(struct errand *errand, const char *fault)
{
    control_finish(errand->all->control, errand->client, fault);
    errand->client = 0;
}

static void reloaded(void *self, const char *fault)
{
    end(self, fault);
}

/* ---- users */

static void changed(void *self, const struct keeper_job *job)
{
    end(self, job->is_done ? NULL : job->fault);
}

static void change_user(struct errand *errand, const struct order *order)
{
    enum keeper_task task = order->kind == ORDER_ADD_USER      ? KEEPER_ADD_USER
                            : order->kind == ORDER_REMOVE_USER ? KEEPER_REMOVE_USER
                                                               : KEEPER_SET_PASSWORD;
    struct user_settings user = order->user;

    user.level = USUAL_LEVEL;
    struct keeper_job *job = keeper_job_make(task, order->realm, &user);
    explicit_bzero(&user, sizeof user);
    if (!job) {
        end(errand, "there is no memory for it");
        return;
    }
    job->tell = changed;
    job->self = errand;
    if (loop_change_user(errand->all->loop, job))
        return;
    control_refuse(errand->all->control, errand->client, job->fault);
    errand->client = 0;
    keeper_job_free(job);
}

/* ---- call records */

static void write_row(struct writer *w, const struct call_record *call)
{
    static const char *const enders[] = {
        [CALL_ENDED_BY_CALLER] = "caller", [CALL_ENDED_BY_CALLEE] = "callee",
        [CALL_ENDED_BY_ADMIN] = "admin",   [CALL_ENDED_BY_SILENCE] = "silence",
        [CALL_ENDED_BY_RELAY] = "relay",
    };

    json_begin(w);
    json_number(w, S("id"), call->id);
    json_number(w, S("began"), (uint64_t)call->began);
    if (call->answered)
        json_number(w, S("answered"), (uint64_t)call->answered);
    json_number(w, S("ended"), (uint64_t)call->ended);
    json_number(w, S("duration"), call->duration);
    json_number(w, S("status"), call->status);
    json_text(w, S("reason"), call_reason(call));
    if (call->ender < COUNT_OF(enders) && enders[call->ender])
        json_text(w, S("ended_by"), slice_text(enders[call->ender]));
    json_text(w, S("network"), call->network);
    json_text(w, S("caller"), call->caller);
    write_proof(w, call->proof);
    json_text(w, S("dialed"), call->dialed);
    json_text(w, S("callee"), call->callee);
    json_text(w, S("display"), call->display);
    json_text(w, S("call_id"), call->call_id);
    write_media(w, call->media_path, call->media);
    write_heard(w, &call->heard);
    json_end(w);
    write_char(w, '\n');
}

/* A part of the list, which is its end if it has fewer rows than were asked for. */
static void found(void *self, const struct keeper_job *job)
{
    struct errand *errand = self;
    struct errands *all = errand->all;
    struct writer w = writer_over(all->rows, sizeof all->rows);
    struct reader r = reader_over(job->calls);
    struct admin_answer to = {.client = errand->client};
    struct call_record call;
    unsigned count = 0;

    if (!job->is_done) {
        end(errand, job->fault);
        return;
    }
    while (r.rest.len && call_read(&r, &call)) {
        write_row(&w, &call);
        to.cursor = call.id;
        count++;
    }
    to.is_part = count == RECORDS_AT_ONCE;
    if (!to.is_part)
        write_slice(&w, S("{\"done\":true}\n"));
    if (w.failed) {
        end(errand, "a record is too long: it is none of ours");
        return;
    }
    errand->client = 0;
    control_answer(all->control, &to, writer_slice(&w));
}

/* Records name a user of ours by what was dialed, and may name others like that, too. */
static void ask_records(struct errand *errand, const struct order *order)
{
    struct slice name = order->request.user;
    struct user_view user = {.id = name};

    if (name.len)
        loop_find_party(errand->all->loop, name, &user);
    struct keeper_job *job = keeper_query_make(&(struct call_query){
        .user = user.id,
        .number = user.extension,
        .since = (int64_t)order->since,
        .before = order->request.cursor,
        .most = RECORDS_AT_ONCE,
    });

    if (!job) {
        end(errand, "there is no memory for it");
        return;
    }
    job->tell = found;
    job->self = errand;
    if (loop_ask_calls(errand->all->loop, job))
        return;
    end(errand, job->fault);
    keeper_job_free(job);
}

void errands_run(struct errands *errands, const struct order *order)
{
    uint32_t client = order->request.client;
    struct errand *errand = begin(errands, client);

    if (!errand)
        control_finish(errands->control, client, busy);
    else if (order->kind == ORDER_RECORDS)
        ask_records(errand, order);
    else if (order->kind != ORDER_RELOAD)
        change_user(errand, order);
    else if (!loop_reload(errands->loop, reloaded, errand))
        end(errand, busy);
}
