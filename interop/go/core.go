package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

func core() {
	nc := connect(nats.Name("everyday"), nats.CustomInboxPrefix("_MINE"), nats.PingInterval(time.Second))
	other := connect(nats.NoEcho())
	show("connected", nc.IsConnected(), nc.MaxPayload(), nc.HeadersSupported(), nc.ConnectedServerVersion() != "")
	show("round trip", must(nc.RTT()) > 0)
	messages(nc, other)
	queues(nc)
	requests(nc, other)
	drained(other)
	nc.Close()
	refused("after the end", nc.Publish("x", nil))
}

func messages(nc, other *nats.Conn) {
	sub := must(nc.SubscribeSync("news.*.>"))
	check(nc.Publish("news.eu.weather", []byte("rain")))
	check(nc.Publish("news.eu", []byte("too short")))
	msg := &nats.Msg{Subject: "news.us.sport.ball", Reply: "answers", Header: nats.Header{"A": {"1", "2"}, "b": {"c d"}}}
	check(nc.PublishMsg(msg))
	for range [2]int{} {
		msg := next(sub)
		show("received", msg.Subject, msg.Data, msg.Reply, msg.Header)
	}
	check(nc.Publish("news.eu.large", make([]byte, 500_000)))
	show("large", len(next(sub).Data))
	refused("too large", nc.Publish("big", make([]byte, nc.MaxPayload()+1)))
	refused("no subject", nc.Publish("", nil))
	check(sub.Unsubscribe())

	limited := must(nc.SubscribeSync("limited"))
	check(limited.AutoUnsubscribe(2))
	for n := 0; n < 5; n++ {
		check(nc.Publish("limited", []byte{byte('0' + n)}))
	}
	show("limited to two", next(limited).Data, next(limited).Data)
	_, err := limited.NextMsg(patience)
	refused("and no more", err)

	echo := must(other.SubscribeSync("echo"))
	check(other.Publish("echo", []byte("mine")))
	check(other.Flush())
	check(nc.Publish("echo", []byte("yours")))
	show("no echo", next(echo).Data)
}

func queues(nc *nats.Conn) {
	var one, two, all int32
	count := func(n *int32) nats.MsgHandler { return func(*nats.Msg) { atomic.AddInt32(n, 1) } }
	must(nc.QueueSubscribe("jobs.>", "workers", count(&one)))
	must(nc.QueueSubscribe("jobs.>", "workers", count(&two)))
	must(nc.Subscribe("jobs.>", count(&all)))
	for n := 0; n < 100; n++ {
		check(nc.Publish(fmt.Sprint("jobs.", n), nil))
	}
	until(func() bool {
		return atomic.LoadInt32(&all) == 100 && atomic.LoadInt32(&one)+atomic.LoadInt32(&two) == 100
	})
	show("queue", one+two, "both worked", one > 0 && two > 0, "the plain one", all)
}

func requests(nc, other *nats.Conn) {
	must(other.QueueSubscribe("ask", "answerers", func(msg *nats.Msg) {
		if string(msg.Data) != "silence" {
			check(msg.Respond(append([]byte("re: "), msg.Data...)))
		}
	}))
	check(other.Flush())
	show("answer", must(nc.Request("ask", []byte("what"), patience)).Data)
	_, err := nc.Request("ask.nobody", nil, patience)
	refused("nobody there", err)
	_, err = nc.Request("ask", []byte("silence"), 200*time.Millisecond)
	refused("no answer", err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	show("with a context", must(nc.RequestWithContext(ctx, "ask", []byte("who"))).Data)
	old := connect(nats.UseOldRequestStyle())
	show("old style", must(old.Request("ask", []byte("when"), patience)).Data)
	_, err = old.Request("ask.nobody", nil, patience)
	refused("old style, nobody", err)
	old.Close()
}

func drained(other *nats.Conn) {
	closed := make(chan bool)
	var got int32
	nc := connect(nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	must(nc.Subscribe("drain", func(*nats.Msg) {
		time.Sleep(2 * time.Millisecond)
		atomic.AddInt32(&got, 1)
	}))
	check(nc.Flush())
	for n := 0; n < 50; n++ {
		check(other.Publish("drain", nil))
	}
	check(other.Flush())
	check(nc.Flush())
	check(nc.Drain())
	<-closed
	show("drained", atomic.LoadInt32(&got))
}

// Logs in with what NATS_TOKEN, NATS_CREDS, NATS_SEED or NATS_CA say, and shows whether that is enough.
func login() {
	options := []nats.Option{nats.Timeout(patience)}
	for name, option := range map[string]func(string) nats.Option{
		"NATS_TOKEN": func(token string) nats.Option { return nats.Token(token) },
		"NATS_CREDS": func(path string) nats.Option { return nats.UserCredentials(path) },
		"NATS_SEED":  func(path string) nats.Option { return must(nats.NkeyOptionFromSeed(path)) },
		"NATS_CA":    func(path string) nats.Option { return nats.RootCAs(path) },
	} {
		if value := os.Getenv(name); value != "" {
			options = append(options, option(value))
		}
	}
	failures := make(chan error, 1)
	options = append(options, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failures <- err }))
	nc, err := nats.Connect(os.Getenv("NATS_URL"), options...)
	if err != nil {
		refused("login", err)
		return
	}
	sub := must(nc.SubscribeSync("foo"))
	check(nc.Publish("foo", []byte("hello")))
	show("login", next(sub).Data, "TLS", nc.TLSRequired())
	if os.Getenv("NATS_CREDS") != "" {
		check(nc.Publish("secret", nil))
		refused("publish", <-failures)
		must(nc.SubscribeSync("secret"))
		refused("subscribe", <-failures)
	}
}
