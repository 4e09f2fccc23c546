// The everyday calls of the C client, one part a run: a line for each answer, without what differs from run to
// run. NATS_URL says where the server is.
#include "everyday.h"

void show(const char *name, const char *format, ...) {
    va_list values;
    va_start(values, format);
    printf("%s: ", name);
    vprintf(format, values);
    printf("\n");
    fflush(stdout);
    va_end(values);
}

void show_error(const char *name, natsStatus status, jsErrCode code) {
    show(name, "error %d %s", (int)code, natsStatus_GetText(status));
}

void check_at(natsStatus status, const char *call) {
    if (status != NATS_OK) {
        printf("FAIL: %s: %s %s\n", call, natsStatus_GetText(status), nats_GetLastError(NULL));
        exit(1);
    }
}

natsConnection *open_with(natsOptions *options) {
    natsConnection *nc = NULL;
    check(natsOptions_SetURL(options, getenv("NATS_URL")));
    check(natsOptions_SetTimeout(options, PATIENCE));
    check(natsConnection_Connect(&nc, options));
    natsOptions_Destroy(options);
    return nc;
}

natsConnection *open_plain(void) {
    natsOptions *options = NULL;
    check(natsOptions_Create(&options));
    return open_with(options);
}

natsMsg *next(natsSubscription *sub) {
    natsMsg *msg = NULL;
    check(natsSubscription_NextMsg(&msg, sub, PATIENCE));
    return msg;
}

void show_next(const char *name, natsSubscription *sub, int count) {
    char texts[1000] = "";
    for (int n = 0; n < count; n++) {
        natsMsg *msg = next(sub);
        size_t used = strlen(texts);
        snprintf(texts + used, sizeof texts - used, " %.*s", natsMsg_GetDataLength(msg), natsMsg_GetData(msg));
        natsMsg_Destroy(msg);
    }
    show(name, "%s", texts + 1);
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"core", core}, {"login", login}, {"jetstream", jetstream}, {"buckets", buckets}, {"restart", restarted},
    };
    for (size_t n = 0; count == 2 && n < sizeof parts / sizeof *parts; n++) {
        if (strcmp(arguments[1], parts[n].name) == 0) {
            parts[n].run();
            show("done", "%s", arguments[1]);
            return 0;
        }
    }
    return 2;
}
