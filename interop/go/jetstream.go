package main

import (
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

func jetstream() {
	nc := connect()
	js := must(nc.JetStream(nats.PublishAsyncMaxPending(20), nats.MaxWait(patience)))
	streams(js)
	publishes(js)
	pulls(js)
	pushes(nc, js)
	ordered(nc, js)
}

func streams(js nats.JetStreamContext) {
	config := nats.StreamConfig{
		Name: "ORDERS", Subjects: []string{"orders.>"}, MaxMsgs: 1000, MaxAge: time.Hour, MaxMsgSize: 10_000,
		Duplicates: time.Minute, AllowDirect: true, AllowRollup: true,
	}
	info := must(js.AddStream(&config))
	show("stream", info.Config.Name, info.Config.Storage, info.Config.Retention, info.Config.MaxBytes, info.State.Msgs)
	show("created again", must(js.AddStream(&config)).Config.Name)
	other := config
	other.MaxMsgs = 5
	_, err := js.AddStream(&other)
	refused("other limits", err)
	_, err = js.AddStream(&nats.StreamConfig{Name: "MORE", Subjects: []string{"orders.new"}})
	refused("overlap", err)
	_, err = js.UpdateStream(&nats.StreamConfig{Name: "NOTHING"})
	refused("update of none", err)
	config.MaxMsgs = 2000
	show("updated", must(js.UpdateStream(&config)).Config.MaxMsgs)
	config.Storage = nats.MemoryStorage
	_, err = js.UpdateStream(&config)
	refused("bad update", err)
	_, err = js.StreamInfo("NOTHING")
	refused("no such stream", err)
	for n := 0; n < 300; n++ {
		name := fmt.Sprintf("MANY-%03d", n)
		must(js.AddStream(&nats.StreamConfig{Name: name, Subjects: []string{name}, Storage: nats.MemoryStorage}))
	}
	var names []string
	for name := range js.StreamNames() {
		names = append(names, name)
	}
	sort.Strings(names)
	count := 0
	for range js.StreamsInfo() {
		count++
	}
	show("names", len(names), names[0], names[300], "infos", count)
	show("by subject", must(js.StreamNameBySubject("orders.new")))
	for _, name := range names[:300] {
		check(js.DeleteStream(name))
	}
	show("account", must(js.AccountInfo()).Streams)
}

func publishes(js nats.JetStreamContext) {
	for n := 0; n < 3; n++ {
		ack := must(js.Publish(fmt.Sprint("orders.", n), []byte(fmt.Sprint(n)), nats.MsgId(fmt.Sprint(n))))
		show("ack", ack.Stream, ack.Sequence, ack.Duplicate)
	}
	ack := must(js.Publish("orders.0", nil, nats.MsgId("0")))
	show("duplicate", ack.Sequence, ack.Duplicate)
	for _, option := range []nats.PubOpt{
		nats.ExpectStream("OTHER"), nats.ExpectLastSequence(9), nats.ExpectLastMsgId("x"),
		nats.ExpectLastSequencePerSubject(7),
	} {
		_, err := js.Publish("orders.0", nil, option)
		refused("not as expected", err)
	}
	must(js.Publish("orders.0", nil, nats.ExpectLastSequence(3), nats.ExpectLastMsgId("2"), nats.ExpectStream("ORDERS")))
	_, err := js.Publish("orders.0", make([]byte, 10_001))
	refused("too large", err)
	_, err = js.Publish("elsewhere", nil, nats.RetryAttempts(0))
	refused("no stream", err)
	var futures []nats.PubAckFuture
	for n := 0; n < 100; n++ {
		futures = append(futures, must(js.PublishAsync("orders.async", nil)))
	}
	<-js.PublishAsyncComplete()
	show("asynchronous", (<-futures[0].Ok()).Sequence, (<-futures[99].Ok()).Sequence)

	msg := must(js.GetMsg("ORDERS", 2))
	show("by sequence", msg.Subject, msg.Data, msg.Header)
	show("last", must(js.GetLastMsg("ORDERS", "orders.1")).Sequence)
	msg = must(js.GetMsg("ORDERS", 1, nats.DirectGet()))
	show("direct", msg.Subject, msg.Sequence, msg.Data)
	show("direct, next", must(js.GetMsg("ORDERS", 2, nats.DirectGetNext("orders.0"))).Sequence)
	check(js.DeleteMsg("ORDERS", 2))
	_, err = js.GetMsg("ORDERS", 2)
	refused("gone", err)
	_, err = js.GetMsg("ORDERS", 2, nats.DirectGet())
	refused("gone, direct", err)
	check(js.SecureDeleteMsg("ORDERS", 3))
	info := must(js.StreamInfo("ORDERS", &nats.StreamInfoRequest{DeletedDetails: true, SubjectsFilter: "orders.*"}))
	show("state", info.State.Msgs, info.State.Deleted, info.State.Subjects)
	check(js.PurgeStream("ORDERS", &nats.StreamPurgeRequest{Subject: "orders.async", Keep: 2}))
	show("purged", must(js.StreamInfo("ORDERS")).State.Msgs)
}

func pulls(js nats.JetStreamContext) {
	must(js.AddStream(&nats.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.*"}, Retention: nats.WorkQueuePolicy}))
	for n := 0; n < 8; n++ {
		must(js.Publish(fmt.Sprint("tasks.", n), []byte(fmt.Sprint(n))))
	}
	sub := must(js.PullSubscribe("tasks.*", "worker", nats.AckWait(time.Minute), nats.MaxDeliver(5)))
	info := must(sub.ConsumerInfo())
	show("consumer", info.Config.Durable, info.Config.MaxAckPending, info.Config.MaxWaiting, info.NumPending)
	batch := must(sub.Fetch(4, nats.MaxWait(patience)))
	for _, msg := range batch {
		meta := must(msg.Metadata())
		show("task", msg.Subject, msg.Data, meta.Sequence.Stream, meta.Sequence.Consumer, meta.NumPending)
	}
	check(batch[0].AckSync())
	refused("acked before", batch[0].Ack())
	check(batch[1].Nak())
	check(batch[2].InProgress())
	check(batch[3].Term())
	check(batch[2].AckSync())
	var rest []string
	for len(rest) < 5 {
		for _, msg := range must(sub.Fetch(5-len(rest), nats.MaxWait(patience))) {
			rest = append(rest, fmt.Sprint(string(msg.Data), "/", must(msg.Metadata()).NumDelivered))
			check(msg.AckSync())
		}
	}
	sort.Strings(rest)
	show("rest", rest, "left", must(js.StreamInfo("TASKS")).State.Msgs)
	_, err := sub.Fetch(1, nats.MaxWait(200*time.Millisecond))
	refused("nothing left", err)
	waiting := later(sub)
	must(js.Publish("tasks.late", []byte("late")))
	late := (<-waiting).messages[0]
	show("late", late.Data)
	check(late.NakWithDelay(10 * time.Millisecond))
	again := must(sub.Fetch(1, nats.MaxWait(patience)))[0]
	show("delayed", again.Data, must(again.Metadata()).NumDelivered)
	check(again.AckSync())
	_, err = js.AddConsumer("TASKS", &nats.ConsumerConfig{Durable: "other", AckPolicy: nats.AckExplicitPolicy})
	refused("a work queue has one", err)
	for name := range js.ConsumerNames("TASKS") {
		show("names", name)
	}
	show("updated", must(js.UpdateConsumer("TASKS", &nats.ConsumerConfig{
		Durable: "worker", AckPolicy: nats.AckExplicitPolicy, FilterSubject: "tasks.*", Description: "changed",
		AckWait: time.Minute, MaxDeliver: 7,
	})).Config.MaxDeliver)
	waiting = later(sub)
	check(js.DeleteConsumer("TASKS", "worker"))
	refused("deleted meanwhile", (<-waiting).err)
	_, err = js.ConsumerInfo("TASKS", "worker")
	refused("no consumer", err)
}

type fetched struct {
	messages []*nats.Msg
	err      error
}

// Asks for a message, and returns once the server knows of the request.
func later(sub *nats.Subscription) chan fetched {
	answer := make(chan fetched, 1)
	go func() {
		messages, err := sub.Fetch(1, nats.MaxWait(patience))
		answer <- fetched{messages, err}
	}()
	until(func() bool { return must(sub.ConsumerInfo()).NumWaiting == 1 })
	return answer
}

func pushes(nc *nats.Conn, js nats.JetStreamContext) {
	must(js.AddStream(&nats.StreamConfig{Name: "EVENTS", Subjects: []string{"events.*"}}))
	for n := 0; n < 20; n++ {
		must(js.Publish(fmt.Sprint("events.", n%2), []byte(fmt.Sprint(n))))
	}
	var got []string
	sub := must(js.SubscribeSync("events.1", nats.Durable("pushed"), nats.EnableFlowControl(), nats.IdleHeartbeat(time.Second)))
	for range [10]int{} {
		msg := next(sub)
		got = append(got, string(msg.Data))
		check(msg.AckSync())
	}
	info := must(sub.ConsumerInfo())
	show("pushed", got, info.PushBound, info.AckFloor.Stream, info.NumPending)
	_, err := js.SubscribeSync("events.1", nats.Durable("pushed"))
	refused("bound twice", err)
	check(sub.Unsubscribe())

	var a, b int32
	for _, count := range []*int32{&a, &b} {
		count := count
		must(js.QueueSubscribe("events.*", "team", func(*nats.Msg) { atomic.AddInt32(count, 1) }))
	}
	until(func() bool { return atomic.LoadInt32(&a)+atomic.LoadInt32(&b) == 20 })
	show("queue", a+b)
	last := must(js.SubscribeSync("events.*", nats.DeliverLastPerSubject(), nats.HeadersOnly()))
	for range [2]int{} {
		msg := next(last)
		show("last of each", msg.Subject, len(msg.Data), msg.Header)
	}
	from := must(js.SubscribeSync("events.*", nats.StartSequence(20), nats.AckNone()))
	show("from a sequence", next(from).Data)
	limited := must(js.SubscribeSync("events.*", nats.RateLimit(1_000_000), nats.ReplayOriginal()))
	show("paced", next(limited).Data)
}

// An ordered consumer goes on behind a gap, and behind the loss of its consumer.
func ordered(nc *nats.Conn, js nats.JetStreamContext) {
	must(js.AddStream(&nats.StreamConfig{Name: "LINE", Subjects: []string{"line"}}))
	publish := func(from, count int) {
		for n := from; n < from+count; n++ {
			must(js.Publish("line", []byte(fmt.Sprint(n))))
		}
	}
	publish(0, 20)
	sub := must(js.SubscribeSync("line", nats.OrderedConsumer(), nats.IdleHeartbeat(500*time.Millisecond)))
	show("ordered", read(sub, 20))
	// A heartbeat that claims 99 deliveries: those between are lost, so the client begins anew behind the last.
	info := must(sub.ConsumerInfo())
	beat := nats.NewMsg(info.Config.DeliverSubject)
	beat.Header = nats.Header{"Status": {"100"}, "Description": {"Idle Heartbeat"}, "Nats-Last-Consumer": {"99"}}
	check(nc.PublishMsg(beat))
	until(func() bool { _, err := js.ConsumerInfo("LINE", info.Name); return err != nil })
	publish(20, 5)
	show("behind a gap", read(sub, 5))
	until(func() bool {
		names := js.ConsumerNames("LINE")
		return js.DeleteConsumer("LINE", <-names) == nil
	})
	publish(25, 5)
	show("behind a deletion", read(sub, 5))
}

func read(sub *nats.Subscription, count int) string {
	var got []string
	for len(got) < count {
		got = append(got, string(next(sub).Data))
	}
	return strings.Join(got, " ")
}

// Says when the server may be restarted, and shows that everything goes on behind it.
func restart() {
	nc := connect(nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	js := must(nc.JetStream(nats.MaxWait(patience)))
	must(js.AddStream(&nats.StreamConfig{Name: "EVENTS", Subjects: []string{"events.*"}}))
	bucket := must(js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "kept"}))
	durable := must(js.PullSubscribe("events.*", "durable"))
	ordered := must(js.SubscribeSync("events.*", nats.OrderedConsumer(), nats.IdleHeartbeat(500*time.Millisecond)))
	plain := must(nc.SubscribeSync("plain"))
	publish := func(from int) {
		for n := from; n < from+10; n++ {
			must(js.Publish("events.x", []byte(fmt.Sprint(n))))
		}
	}
	publish(0)
	must(bucket.PutString("key", "before"))
	show("ordered", read(ordered, 10))
	for _, msg := range must(durable.Fetch(10, nats.MaxWait(patience)))[:5] {
		check(msg.AckSync())
	}
	reconnected := make(chan bool, 10)
	nc.SetReconnectHandler(func(*nats.Conn) { reconnected <- true })
	disconnected := make(chan bool, 10)
	nc.SetDisconnectErrHandler(func(*nats.Conn, error) { disconnected <- true })
	show("restart now")
	<-disconnected
	check(nc.Publish("plain", []byte("sent while it was away")))
	<-reconnected
	show("plain", next(plain).Data)
	publish(10)
	must(bucket.PutString("key", "after"))
	show("ordered", read(ordered, 10))
	info := must(durable.ConsumerInfo())
	show("durable", info.AckFloor.Stream, info.NumAckPending, info.NumPending)
	first := must(durable.Fetch(1, nats.MaxWait(patience)))[0]
	show("its next", first.Data, must(first.Metadata()).NumDelivered)
	show("messages", must(js.StreamInfo("EVENTS")).State.Msgs, must(bucket.Get("key")).Revision())
}
