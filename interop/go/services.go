package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Two instances of a service, each on a connection of its own.
func services() {
	client := connect()
	handler := func(request *micro.Request) {
		if string(request.Data()) == "bad" {
			check(request.Error("418", "no such number", []byte("body")))
			return
		}
		check(request.Respond(append(request.Data(), request.Data()...)))
	}
	var instances []micro.Service
	for range [2]int{} {
		nc := connect()
		instances = append(instances, must(micro.AddService(nc, micro.Config{
			Name: "twice", Version: "1.2.3", Description: "says it twice",
			Schema:   micro.Schema{Request: "text", Response: "more text"},
			Endpoint: micro.Endpoint{Subject: "twice", Handler: handler},
		})))
		check(nc.Flush())
	}
	for n := 0; n < 100; n++ {
		if answer := must(client.Request("twice", []byte("ab"), patience)); string(answer.Data) != "abab" {
			panic(string(answer.Data))
		}
	}
	answer := must(client.Request("twice", []byte("bad"), patience))
	show("error", answer.Data, answer.Header)

	show("pings", len(ask(client, "$SRV.PING", 2)), len(ask(client, "$SRV.PING.twice", 2)))
	id := instances[0].Info().ID
	show("ping by id", ask(client, "$SRV.PING.twice."+id, 1)[0]["id"] == id)
	_, err := client.Request("$SRV.PING.others", nil, patience)
	refused("another service", err)
	info := ask(client, "$SRV.INFO.twice."+id, 1)[0]
	show("info", info["name"], info["version"], info["description"], info["subject"])
	show("schema", ask(client, "$SRV.SCHEMA.twice."+id, 1)[0]["schema"])
	requests, errors, balanced := 0.0, 0.0, true
	for _, stats := range ask(client, "$SRV.STATS.twice", 2) {
		requests += stats["num_requests"].(float64)
		errors += stats["num_errors"].(float64)
		balanced = balanced && stats["num_requests"].(float64) > 20
	}
	show("stats", requests, errors, "balanced", balanced)

	check(instances[0].Stop())
	until(func() bool { return len(gather(client, "$SRV.PING.twice", 100*time.Millisecond)) == 1 })
	show("after a stop", must(client.Request("twice", []byte("cd"), patience)).Data)
	check(instances[1].Stop())
	until(func() bool {
		_, err := client.Request("twice", nil, patience)
		return err == nats.ErrNoResponders
	})
	show("nobody is left")
}

// Asks until `count` have answered, so a slow one is waited for.
func ask(nc *nats.Conn, subject string, count int) (answers []map[string]any) {
	until(func() bool {
		answers = gather(nc, subject, 300*time.Millisecond)
		return len(answers) >= count
	})
	return answers
}

// The answers that come within a time.
func gather(nc *nats.Conn, subject string, wait time.Duration) (answers []map[string]any) {
	sub := must(nc.SubscribeSync(nc.NewRespInbox()))
	defer sub.Unsubscribe()
	check(nc.PublishRequest(subject, sub.Subject, nil))
	for {
		msg, err := sub.NextMsg(wait)
		if err != nil || msg.Header.Get("Status") != "" {
			return answers
		}
		var answer map[string]any
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			panic(fmt.Sprint(string(msg.Data), err))
		}
		answers = append(answers, answer)
	}
}
