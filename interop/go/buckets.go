package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
)

func buckets() {
	nc := connect()
	js := must(nc.JetStream(nats.MaxWait(patience)))
	keys(js)
	objects(js)
}

func keys(js nats.JetStreamContext) {
	kv := must(js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "colours", History: 5, Description: "of things"}))
	all := must(kv.WatchAll())
	for n, value := range []string{"red", "green", "blue"} {
		show("put", n, must(kv.PutString("sky", value)))
	}
	entry := must(kv.Get("sky"))
	show("get", entry.Key(), entry.Value(), entry.Revision(), entry.Operation())
	show("an old one", must(kv.GetRevision("sky", 2)).Value())
	_, err := kv.GetRevision("sky", 9)
	refused("no such revision", err)
	_, err = kv.Get("nothing")
	refused("no such key", err)
	show("create", must(kv.Create("sea", []byte("grey"))))
	_, err = kv.Create("sea", nil)
	refused("create again", err)
	_, err = kv.Update("sea", nil, 3)
	refused("update of an old one", err)
	show("update", must(kv.Update("sea", []byte("black"), 4)))
	check(kv.Delete("sea"))
	_, err = kv.Get("sea")
	refused("deleted", err)
	show("create after a deletion", must(kv.Create("sea", []byte("white"))))
	check(kv.Delete("sea", nats.LastRevision(7)))
	refused("delete of an old one", kv.Delete("sky", nats.LastRevision(1)))
	for _, entry := range must(kv.History("sea")) {
		show("history", entry.Revision(), entry.Operation(), entry.Value(), entry.Delta())
	}
	check(kv.Purge("sea"))
	must(kv.PutString("a.b", "nested"))
	names := must(kv.Keys())
	sort.Strings(names)
	show("keys", names)
	for n := 0; n < 10; {
		if entry := <-all.Updates(); entry != nil {
			n++
			show("watched", entry.Key(), entry.Operation(), entry.Value(), entry.Revision())
		}
	}
	check(all.Stop())
	later := must(kv.Watch("*", nats.IgnoreDeletes(), nats.MetaOnly()))
	for entry := <-later.Updates(); entry != nil; entry = <-later.Updates() {
		show("watched later", entry.Key(), len(entry.Value()))
	}
	check(kv.PurgeDeletes(nats.DeleteMarkersOlderThan(-1)))
	status := must(kv.Status())
	show("status", status.Bucket(), status.Values(), status.History(), status.BackingStore())
	_, err = kv.Put("a b", nil)
	refused("bad key", err)
	_, err = js.KeyValue("nothing")
	refused("no such bucket", err)

	short := must(js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "short", TTL: time.Second, Storage: nats.MemoryStorage}))
	must(short.PutString("key", "value"))
	until(func() bool { _, err := short.Get("key"); return errors.Is(err, nats.ErrKeyNotFound) })
	show("expired", must(short.Status()).TTL())
	var stores []string
	for name := range js.KeyValueStoreNames() {
		stores = append(stores, name)
	}
	sort.Strings(stores)
	show("stores", stores)
	check(js.DeleteKeyValue("colours"))
	refused("deleted before", js.DeleteKeyValue("colours"))
}

func objects(js nats.JetStreamContext) {
	store := must(js.CreateObjectStore(&nats.ObjectStoreConfig{Bucket: "files", Description: "of all"}))
	watch := must(store.Watch())
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	info := must(store.Put(&nats.ObjectMeta{Name: "big", Headers: nats.Header{"A": {"1"}}}, bytes.NewReader(big)))
	show("put", info.Name, info.Size, info.Chunks, info.Digest, info.Headers)
	show("same", bytes.Equal(big, must(store.GetBytes("big"))))
	must(store.PutString("small", "one"))
	must(store.PutString("small", "two"))
	show("replaced", must(store.GetString("small")))
	must(store.AddLink("link", must(store.GetInfo("small"))))
	show("through a link", must(store.GetString("link")))
	check(store.UpdateMeta("small", &nats.ObjectMeta{Name: "tiny", Description: "renamed"}))
	_, err := store.GetInfo("small")
	refused("by its old name", err)
	show("by its new name", must(store.GetString("tiny")), must(store.GetInfo("tiny")).Description)
	check(store.Delete("big"))
	_, err = store.GetBytes("big")
	refused("deleted", err)
	var names []string
	for _, info := range must(store.List()) {
		names = append(names, fmt.Sprint(info.Name, "/", info.Size))
	}
	sort.Strings(names)
	show("list", names)
	for n := 0; n < 3; {
		if info := <-watch.Updates(); info != nil {
			n++
			show("watched", info.Name, info.Size, info.Deleted)
		}
	}
	check(watch.Stop())
	status := must(store.Status())
	show("status", status.Bucket(), status.Description(), status.Sealed(), status.BackingStore())
	check(store.Seal())
	_, err = store.PutString("more", "")
	refused("sealed", err)
	check(js.DeleteObjectStore("files"))
	_, err = js.ObjectStore("files")
	refused("no such store", err)
}
