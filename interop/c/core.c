// Core NATS, and the ways to log in.
#include "everyday.h"

static void messages(natsConnection *nc) {
    natsSubscription *sub = NULL;
    natsMsg *msg = NULL;
    const char *value = NULL, **values = NULL;
    int count = 0;
    check(natsConnection_SubscribeSync(&sub, nc, "news.*.>"));
    check(natsConnection_PublishString(nc, "news.eu.weather", "rain"));
    check(natsConnection_PublishString(nc, "news.eu", "too short"));
    check(natsMsg_Create(&msg, "news.us.sport.ball", "answers", NULL, 0));
    check(natsMsgHeader_Add(msg, "A", "1"));
    check(natsMsgHeader_Add(msg, "A", "2"));
    check(natsMsgHeader_Set(msg, "b", "c d"));
    check(natsConnection_PublishMsg(nc, msg));
    natsMsg_Destroy(msg);
    show_next("received", sub, 1);
    msg = next(sub);
    check(natsMsgHeader_Values(msg, "A", &values, &count));
    check(natsMsgHeader_Get(msg, "b", &value));
    show("received", "%s %s %d %s %s %s", natsMsg_GetSubject(msg), natsMsg_GetReply(msg), count, values[0], values[1], value);
    free(values);
    natsMsg_Destroy(msg);
    char *large = calloc(2, 1024 * 1024);
    check(natsConnection_Publish(nc, "news.eu.large", large, 500000));
    msg = next(sub);
    show("large", "%d", natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
    refused("too large", natsConnection_Publish(nc, "big", large, 2 * 1024 * 1024));
    free(large);
    natsSubscription_Destroy(sub);

    check(natsConnection_SubscribeSync(&sub, nc, "limited"));
    check(natsSubscription_AutoUnsubscribe(sub, 2));
    for (int n = 0; n < 5; n++) check(natsConnection_PublishString(nc, "limited", n % 2 ? "odd" : "even"));
    show_next("limited to two", sub, 2);
    refused("and no more", natsSubscription_NextMsg(&msg, sub, PATIENCE));
    natsSubscription_Destroy(sub);
}

static void count_one(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *count) {
    (void)nc, (void)sub;
    natsMsg_Destroy(msg);
    __atomic_add_fetch((int *)count, 1, __ATOMIC_SEQ_CST);
}

static void queues(natsConnection *nc) {
    static int one, two, all;
    natsSubscription *subs[3] = {NULL};
    check(natsConnection_QueueSubscribe(&subs[0], nc, "jobs.>", "workers", count_one, &one));
    check(natsConnection_QueueSubscribe(&subs[1], nc, "jobs.>", "workers", count_one, &two));
    check(natsConnection_Subscribe(&subs[2], nc, "jobs.>", count_one, &all));
    for (int n = 0; n < 100; n++) check(natsConnection_PublishString(nc, "jobs.any", ""));
    until(__atomic_load_n(&all, __ATOMIC_SEQ_CST) == 100 &&
          __atomic_load_n(&one, __ATOMIC_SEQ_CST) + __atomic_load_n(&two, __ATOMIC_SEQ_CST) == 100);
    show("queue", "%d, both worked %d, the plain one %d", one + two, one > 0 && two > 0, all);
    for (int n = 0; n < 3; n++) natsSubscription_Destroy(subs[n]);
}

static void answer(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure) {
    (void)sub, (void)closure;
    if (strcmp(natsMsg_GetData(msg), "silence") != 0) {
        char text[100];
        snprintf(text, sizeof text, "re: %s", natsMsg_GetData(msg));
        check(natsConnection_PublishString(nc, natsMsg_GetReply(msg), text));
    }
    natsMsg_Destroy(msg);
}

static void requests(natsConnection *nc, natsConnection *other) {
    natsSubscription *sub = NULL;
    natsMsg *reply = NULL;
    check(natsConnection_QueueSubscribe(&sub, other, "ask", "answerers", answer, NULL));
    check(natsConnection_Flush(other));
    check(natsConnection_RequestString(&reply, nc, "ask", "what", PATIENCE));
    show("answer", "%s", natsMsg_GetData(reply));
    natsMsg_Destroy(reply);
    refused("nobody there", natsConnection_RequestString(&reply, nc, "ask.nobody", "", PATIENCE));
    refused("no answer", natsConnection_RequestString(&reply, nc, "ask", "silence", 200));
    natsSubscription_Destroy(sub);
}

static void closed(natsConnection *nc, void *flag) {
    (void)nc;
    __atomic_store_n((bool *)flag, true, __ATOMIC_SEQ_CST);
}

static void drained(natsConnection *other) {
    static bool over;
    static int got;
    natsOptions *options = NULL;
    natsSubscription *sub = NULL;
    check(natsOptions_Create(&options));
    check(natsOptions_SetClosedCB(options, closed, &over));
    natsConnection *nc = open_with(options);
    check(natsConnection_Subscribe(&sub, nc, "drain", count_one, &got));
    check(natsConnection_Flush(nc));
    for (int n = 0; n < 50; n++) check(natsConnection_PublishString(other, "drain", ""));
    check(natsConnection_Flush(other));
    check(natsConnection_Flush(nc));
    check(natsConnection_Drain(nc));
    until(__atomic_load_n(&over, __ATOMIC_SEQ_CST));
    show("drained", "%d", got);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
}

void core(void) {
    natsOptions *options = NULL;
    check(natsOptions_Create(&options));
    check(natsOptions_SetName(options, "everyday"));
    check(natsOptions_SetVerbose(options, true));
    check(natsOptions_SetPedantic(options, true));
    check(natsOptions_SetCustomInboxPrefix(options, "_MINE"));
    natsConnection *nc = open_with(options), *other = open_plain();
    int64_t rtt = 0;
    check(natsConnection_GetRTT(nc, &rtt));
    show("connected", "%ld %d %d", (long)natsConnection_GetMaxPayload(nc), natsConnection_HasHeaderSupport(nc) == NATS_OK, rtt > 0);
    messages(nc);
    queues(nc);
    requests(nc, other);
    drained(other);
    natsConnection_Close(nc);
    refused("after the end", natsConnection_PublishString(nc, "x", ""));
    natsConnection_Destroy(nc);
    natsConnection_Destroy(other);
}

// Logs in with what NATS_TOKEN, NATS_CREDS, NATS_SEED or NATS_CA say, and shows whether that is enough.
void login(void) {
    const char *token = getenv("NATS_TOKEN"), *creds = getenv("NATS_CREDS"), *seed = getenv("NATS_SEED");
    const char *ca = getenv("NATS_CA");
    natsOptions *options = NULL;
    natsConnection *nc = NULL;
    check(natsOptions_Create(&options));
    check(natsOptions_SetURL(options, getenv("NATS_URL")));
    check(natsOptions_SetTimeout(options, PATIENCE));
    if (token) check(natsOptions_SetToken(options, token));
    if (creds) check(natsOptions_SetUserCredentialsFromFiles(options, creds, NULL));
    if (seed) check(natsOptions_SetNKeyFromSeed(options, getenv("NATS_PUBLIC_KEY"), seed));
    if (ca) check(natsOptions_LoadCATrustedCertificates(options, ca));
    if (ca) check(natsOptions_SetSecure(options, true));
    natsStatus status = natsConnection_Connect(&nc, options);
    natsOptions_Destroy(options);
    if (status != NATS_OK) {
        refused("login", status);
        return;
    }
    natsSubscription *sub = NULL;
    check(natsConnection_SubscribeSync(&sub, nc, "foo"));
    check(natsConnection_PublishString(nc, "foo", "hello"));
    show_next("login", sub, 1);
    if (creds) {
        const char *error = NULL;
        check(natsConnection_PublishString(nc, "secret", ""));
        check(natsConnection_Flush(nc));
        until(natsConnection_GetLastError(nc, &error) != NATS_OK);
        show("publish", "%s", error);
    }
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
}
