// The everyday calls of the Go client, one part a run: a line for each answer, without what differs from run
// to run. Built without modules, from Debian's golang-github-nats-io-go-nats-dev.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// How long a thing that must come may take on a slow machine.
const patience = 20 * time.Second

func main() {
	parts := map[string]func(){
		"core": core, "login": login, "restart": restart,
		"jetstream": jetstream, "buckets": buckets, "services": services,
		"make-tokens": makeTokens, "tokens": tokens, "audit": audit,
	}
	parts[os.Args[1]]()
	show("done", os.Args[1])
}

func connect(options ...nats.Option) *nats.Conn {
	return must(nats.Connect(os.Getenv("NATS_URL"), append(options, nats.Timeout(patience))...))
}

func show(name string, values ...any) {
	fmt.Print(name, ":")
	for _, value := range values {
		if bytes, ok := value.([]byte); ok {
			value = string(bytes)
		}
		fmt.Print(" ", value)
	}
	fmt.Println()
}

// Shows the error that a call ends with, which it must.
func refused(name string, err error) {
	var api *nats.APIError
	if errors.As(err, &api) {
		show(name, "error", api.Code, int(api.ErrorCode), api.Description)
	} else {
		show(name, "error", err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Println("FAIL:", err)
		panic(err)
	}
}

func next(sub *nats.Subscription) *nats.Msg {
	return must(sub.NextMsg(patience))
}

func until(condition func() bool) {
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic("it does not come to pass")
		}
	}
}
