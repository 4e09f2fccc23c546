// JetStream: streams, publishing, pull, push and ordered consumers.
#include "everyday.h"

static jsStreamInfo *add_stream(jsCtx *js, const char *name, const char *subject) {
    jsStreamConfig config;
    jsStreamInfo *info = NULL;
    check(jsStreamConfig_Init(&config));
    config.Name = name;
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    check(js_AddStream(&info, js, &config, NULL, NULL));
    return info;
}

static void publish(jsCtx *js, const char *subject, int from, int count) {
    for (int n = from; n < from + count; n++) {
        char text[20];
        check(js_Publish(NULL, js, subject, text, snprintf(text, sizeof text, "%d", n), NULL, NULL));
    }
}

static void streams(jsCtx *js) {
    const char *subject = "orders.>";
    jsStreamConfig config;
    jsStreamInfo *info = NULL;
    check(jsStreamConfig_Init(&config));
    config.Name = "ORDERS";
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    config.MaxMsgs = 1000;
    config.MaxMsgSize = 10000;
    config.AllowDirect = true;
    check(js_AddStream(&info, js, &config, NULL, NULL));
    show("stream", "%s %s %ld %ld", info->Config->Name, info->Config->Subjects[0], (long)info->Config->MaxMsgs, (long)info->State.Msgs);
    jsStreamInfo_Destroy(info);
    config.MaxMsgs = 5;
    refused("other limits", js_AddStream(NULL, js, &config, NULL, &code));
    config.MaxMsgs = 2000;
    check(js_UpdateStream(&info, js, &config, NULL, NULL));
    show("updated", "%ld", (long)info->Config->MaxMsgs);
    jsStreamInfo_Destroy(info);
    config.Storage = js_MemoryStorage;
    refused("bad update", js_UpdateStream(NULL, js, &config, NULL, &code));
    refused("no such stream", js_GetStreamInfo(&info, js, "NOTHING", NULL, &code));

    jsPubAck *ack = NULL;
    for (int n = 0; n < 2; n++) {
        jsPubOptions options;
        check(jsPubOptions_Init(&options));
        options.MsgId = "1";
        check(js_Publish(&ack, js, "orders.1", "one", 3, &options, NULL));
        show("ack", "%s %d %d", ack->Stream, (int)ack->Sequence, ack->Duplicate);
        jsPubAck_Destroy(ack);
    }
    jsPubOptions options[4];
    for (int n = 0; n < 4; n++) check(jsPubOptions_Init(&options[n]));
    options[0].ExpectStream = "OTHER";
    options[1].ExpectLastSeq = 9;
    options[2].ExpectLastMsgId = "x";
    options[3].ExpectLastSubjectSeq = 7;
    for (int n = 0; n < 4; n++) {
        refused("not as expected", js_Publish(NULL, js, "orders.1", "", 0, &options[n], &code));
    }
    refused("no stream", js_Publish(NULL, js, "elsewhere", "", 0, NULL, &code));
    for (int n = 0; n < 100; n++) check(js_PublishAsync(js, "orders.many", "x", 1, NULL));
    check(js_PublishAsyncComplete(js, NULL));

    natsMsg *msg = NULL;
    check(js_GetMsg(&msg, js, "ORDERS", 1, NULL, NULL));
    show("by sequence", "%s %s", natsMsg_GetSubject(msg), natsMsg_GetData(msg));
    natsMsg_Destroy(msg);
    check(js_GetLastMsg(&msg, js, "ORDERS", "orders.many", NULL, NULL));
    show("last", "%d", (int)natsMsg_GetSequence(msg));
    natsMsg_Destroy(msg);
    jsDirectGetMsgOptions direct;
    check(jsDirectGetMsgOptions_Init(&direct));
    direct.LastBySubject = "orders.1";
    check(js_DirectGetMsg(&msg, js, "ORDERS", NULL, &direct));
    show("direct", "%d %s", (int)natsMsg_GetSequence(msg), natsMsg_GetData(msg));
    natsMsg_Destroy(msg);
    check(js_DeleteMsg(js, "ORDERS", 2, NULL, NULL));
    check(js_EraseMsg(js, "ORDERS", 3, NULL, NULL));
    refused("gone", js_GetMsg(&msg, js, "ORDERS", 2, NULL, &code));
    jsOptions wanted;
    check(jsOptions_Init(&wanted));
    wanted.Stream.Info.DeletedDetails = true;
    wanted.Stream.Info.SubjectsFilter = "orders.*";
    check(js_GetStreamInfo(&info, js, "ORDERS", &wanted, NULL));
    show("state", "%d, deleted %d, subjects %d", (int)info->State.Msgs, info->State.DeletedLen, (int)info->State.NumSubjects);
    jsStreamInfo_Destroy(info);
    check(jsOptions_Init(&wanted));
    wanted.Stream.Purge.Subject = "orders.many";
    wanted.Stream.Purge.Keep = 2;
    check(js_PurgeStream(js, "ORDERS", &wanted, NULL));
    jsStreamNamesList *names = NULL;
    check(js_StreamNames(&names, js, NULL, NULL));
    show("names", "%d %s", names->Count, names->List[0]);
    jsStreamNamesList_Destroy(names);
    jsAccountInfo *account = NULL;
    check(js_GetAccountInfo(&account, js, NULL, NULL));
    show("account", "%d", (int)account->Streams);
    jsAccountInfo_Destroy(account);
}

static void pulls(jsCtx *js) {
    natsSubscription *sub = NULL;
    natsMsgList list;
    jsStreamInfo_Destroy(add_stream(js, "TASKS", "tasks"));
    publish(js, "tasks", 0, 8);
    check(js_PullSubscribe(&sub, js, "tasks", "worker", NULL, NULL, NULL));
    check(natsSubscription_Fetch(&list, sub, 4, PATIENCE, NULL));
    for (int n = 0; n < list.Count; n++) {
        jsMsgMetaData *meta = NULL;
        check(natsMsg_GetMetaData(&meta, list.Msgs[n]));
        show("task", "%s %d %d %d", natsMsg_GetData(list.Msgs[n]), (int)meta->Sequence.Stream, (int)meta->Sequence.Consumer, (int)meta->NumPending);
        jsMsgMetaData_Destroy(meta);
    }
    check(natsMsg_AckSync(list.Msgs[0], NULL, NULL));
    check(natsMsg_NakWithDelay(list.Msgs[1], 10, NULL));
    check(natsMsg_InProgress(list.Msgs[2], NULL));
    check(natsMsg_Term(list.Msgs[3], NULL));
    check(natsMsg_AckSync(list.Msgs[2], NULL, NULL));
    natsMsgList_Destroy(&list);
    int sum = 0, again = 0;
    for (int rest = 5; rest > 0;) {
        check(natsSubscription_Fetch(&list, sub, rest, PATIENCE, NULL));
        for (int n = 0; n < list.Count; n++) {
            jsMsgMetaData *meta = NULL;
            check(natsMsg_GetMetaData(&meta, list.Msgs[n]));
            sum += atoi(natsMsg_GetData(list.Msgs[n]));
            again += meta->NumDelivered > 1;
            jsMsgMetaData_Destroy(meta);
            check(natsMsg_AckSync(list.Msgs[n], NULL, NULL));
        }
        rest -= list.Count;
        natsMsgList_Destroy(&list);
    }
    jsConsumerInfo *info = NULL;
    check(natsSubscription_GetConsumerInfo(&info, sub, NULL, NULL));
    show("rest", "sum %d, again %d, floor %d, pending %d", sum, again, (int)info->AckFloor.Stream, (int)info->NumAckPending);
    jsConsumerInfo_Destroy(info);
    refused("nothing left", natsSubscription_Fetch(&list, sub, 1, 200, &code));
    check(js_DeleteConsumer(js, "TASKS", "worker", NULL, NULL));
    refused("no consumer", js_GetConsumerInfo(&info, js, "TASKS", "worker", NULL, &code));
    natsSubscription_Destroy(sub);
}

static void pushes(jsCtx *js) {
    natsSubscription *sub = NULL;
    jsSubOptions options;
    jsConsumerInfo *info = NULL;
    jsStreamInfo_Destroy(add_stream(js, "EVENTS", "events"));
    publish(js, "events", 0, 20);
    check(jsSubOptions_Init(&options));
    options.Config.Durable = "pushed";
    options.Config.FlowControl = true;
    options.Config.Heartbeat = 1000LL * 1000 * 1000;
    check(js_SubscribeSync(&sub, js, "events", NULL, &options, NULL));
    for (int n = 0; n < 20; n++) {
        natsMsg *msg = next(sub);
        check(natsMsg_AckSync(msg, NULL, NULL));
        natsMsg_Destroy(msg);
    }
    check(natsSubscription_GetConsumerInfo(&info, sub, NULL, NULL));
    show("pushed", "%d, bound %d", (int)info->AckFloor.Stream, info->PushBound);
    jsConsumerInfo_Destroy(info);
    natsSubscription_Destroy(sub);
}

// Whether there is a consumer of another name: the client has begun anew.
static bool begun_anew(jsCtx *js, const char *name) {
    jsConsumerNamesList *names = NULL;
    natsStatus status = js_ConsumerNames(&names, js, "LINE", NULL, NULL);
    if (status == NATS_NOT_FOUND) return false;
    check(status);
    bool another = names->Count == 1 && strcmp(names->List[0], name) != 0;
    jsConsumerNamesList_Destroy(names);
    return another;
}

// An ordered consumer goes on behind the loss of its consumer.
static void ordered(jsCtx *js) {
    natsSubscription *sub = NULL;
    jsSubOptions options;
    jsConsumerInfo *info = NULL;
    jsStreamInfo_Destroy(add_stream(js, "LINE", "line"));
    publish(js, "line", 0, 20);
    check(jsSubOptions_Init(&options));
    options.Ordered = true;
    options.Config.Heartbeat = 500LL * 1000 * 1000;
    check(js_SubscribeSync(&sub, js, "line", NULL, &options, NULL));
    show_next("ordered", sub, 20);
    check(natsSubscription_GetConsumerInfo(&info, sub, NULL, NULL));
    check(js_DeleteConsumer(js, "LINE", info->Name, NULL, NULL));
    publish(js, "line", 20, 5);
    until(begun_anew(js, info->Name));
    show_next("behind a deletion", sub, 5);
    jsConsumerInfo_Destroy(info);
    natsSubscription_Destroy(sub);
}

void jetstream(void) {
    natsConnection *nc = open_plain();
    jsOptions options;
    jsCtx *js = NULL;
    check(jsOptions_Init(&options));
    options.Wait = PATIENCE;
    check(natsConnection_JetStream(&js, nc, &options));
    streams(js);
    pulls(js);
    pushes(js);
    ordered(js);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}

static void reconnected(natsConnection *nc, void *flag) {
    (void)nc;
    __atomic_store_n((bool *)flag, true, __ATOMIC_SEQ_CST);
}

// Says when the server may be restarted, and shows that everything goes on behind it.
void restarted(void) {
    static bool back;
    natsOptions *options = NULL;
    natsSubscription *plain = NULL, *line = NULL, *durable = NULL;
    natsMsgList list;
    jsSubOptions wanted;
    jsConsumerInfo *info = NULL;
    jsCtx *js = NULL;
    check(natsOptions_Create(&options));
    check(natsOptions_SetMaxReconnect(options, -1));
    check(natsOptions_SetReconnectWait(options, 50));
    check(natsOptions_SetReconnectedCB(options, reconnected, &back));
    natsConnection *nc = open_with(options);
    check(natsConnection_JetStream(&js, nc, NULL));
    jsStreamInfo_Destroy(add_stream(js, "LINE", "line"));
    check(natsConnection_SubscribeSync(&plain, nc, "plain"));
    check(js_PullSubscribe(&durable, js, "line", "durable", NULL, NULL, NULL));
    check(jsSubOptions_Init(&wanted));
    wanted.Ordered = true;
    wanted.Config.Heartbeat = 500LL * 1000 * 1000;
    check(js_SubscribeSync(&line, js, "line", NULL, &wanted, NULL));
    publish(js, "line", 0, 10);
    show_next("ordered", line, 10);
    check(natsSubscription_Fetch(&list, durable, 5, PATIENCE, NULL));
    for (int n = 0; n < list.Count; n++) check(natsMsg_AckSync(list.Msgs[n], NULL, NULL));
    natsMsgList_Destroy(&list);
    show("restart now", "please");
    until(__atomic_load_n(&back, __ATOMIC_SEQ_CST));
    check(natsConnection_PublishString(nc, "plain", "sent behind it"));
    show_next("plain", plain, 1);
    publish(js, "line", 10, 10);
    show_next("ordered", line, 10);
    check(natsSubscription_GetConsumerInfo(&info, durable, NULL, NULL));
    show("durable", "%d %d %d", (int)info->AckFloor.Stream, (int)info->NumAckPending, (int)info->NumPending);
    jsConsumerInfo_Destroy(info);
    check(natsSubscription_Fetch(&list, durable, 1, PATIENCE, NULL));
    show("its next", "%s", natsMsg_GetData(list.Msgs[0]));
    natsMsgList_Destroy(&list);
    natsSubscription_Destroy(plain);
    natsSubscription_Destroy(durable);
    natsSubscription_Destroy(line);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}
