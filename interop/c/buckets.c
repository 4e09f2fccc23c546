// Key/Value buckets.
#include "everyday.h"

static void show_entry(const char *name, kvEntry *entry) {
    static const char *operations[] = {"unknown", "put", "delete", "purge"};
    int length = kvEntry_ValueLen(entry);
    const char *value = length > 0 ? kvEntry_Value(entry) : "";
    show(name, "%s %s %.*s %d", kvEntry_Key(entry), operations[kvEntry_Operation(entry)], length, value, (int)kvEntry_Revision(entry));
    kvEntry_Destroy(entry);
}

void buckets(void) {
    natsConnection *nc = open_plain();
    jsOptions options;
    jsCtx *js = NULL;
    kvConfig config;
    kvStore *kv = NULL;
    kvEntry *entry = NULL;
    kvWatcher *watch = NULL;
    uint64_t revision = 0;
    check(jsOptions_Init(&options));
    options.Wait = PATIENCE;
    check(natsConnection_JetStream(&js, nc, &options));
    check(kvConfig_Init(&config));
    config.Bucket = "colours";
    config.History = 5;
    check(js_CreateKeyValue(&kv, js, &config));
    check(kvStore_WatchAll(&watch, kv, NULL));
    check(kvStore_PutString(&revision, kv, "sky", "red"));
    check(kvStore_PutString(&revision, kv, "sky", "green"));
    show("put", "%d", (int)revision);
    check(kvStore_Get(&entry, kv, "sky"));
    show_entry("get", entry);
    check(kvStore_GetRevision(&entry, kv, "sky", 1));
    show_entry("an old one", entry);
    refused("no such key", kvStore_Get(&entry, kv, "nothing"));
    check(kvStore_CreateString(&revision, kv, "sea", "grey"));
    show("create", "%d", (int)revision);
    refused("create again", kvStore_CreateString(NULL, kv, "sea", ""));
    refused("update of an old one", kvStore_UpdateString(NULL, kv, "sea", "", 1));
    check(kvStore_UpdateString(&revision, kv, "sea", "black", 3));
    check(kvStore_Delete(kv, "sea"));
    refused("deleted", kvStore_Get(&entry, kv, "sea"));
    check(kvStore_CreateString(&revision, kv, "sea", "white"));
    show("create after a deletion", "%d", (int)revision);
    kvEntryList history;
    check(kvStore_History(&history, kv, "sea", NULL));
    show("history", "%d", history.Count);
    kvEntryList_Destroy(&history);
    check(kvStore_Purge(kv, "sea", NULL));
    kvKeysList keys;
    check(kvStore_Keys(&keys, kv, NULL));
    show("keys", "%d %s", keys.Count, keys.Keys[0]);
    kvKeysList_Destroy(&keys);
    for (int n = 0; n < 7;) {
        check(kvWatcher_Next(&entry, watch, PATIENCE));
        if (entry != NULL) {
            show_entry("watched", entry);
            n++;
        }
    }
    kvWatcher_Destroy(watch);
    check(kvStore_PurgeDeletes(kv, NULL));
    kvStatus *status = NULL;
    check(kvStore_Status(&status, kv));
    show("status", "%s %d", kvStatus_Bucket(status), (int)kvStatus_History(status));
    kvStatus_Destroy(status);
    kvStore_Destroy(kv);

    config.Bucket = "short";
    config.TTL = 1000LL * 1000 * 1000;
    check(js_CreateKeyValue(&kv, js, &config));
    check(kvStore_PutString(NULL, kv, "key", "value"));
    until(kvStore_Get(&entry, kv, "key") == NATS_NOT_FOUND || (kvEntry_Destroy(entry), false));
    show("expired", "%d ms", (int)(config.TTL / 1000000));
    kvStore_Destroy(kv);
    check(js_DeleteKeyValue(js, "colours"));
    refused("no such bucket", js_KeyValue(&kv, js, "colours"));
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
}
