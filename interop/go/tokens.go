// Tokens across implementations: what the library of nsc makes and what `natterjack auth` makes are each
// read by the other side.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

func public(key nkeys.KeyPair) string { return must(key.PublicKey()) }

// Makes operator, accounts and users with what tokens can say, their credentials and a server's configuration
// in the current directory.
func makeTokens() {
	operator, operatorSigns := must(nkeys.CreateOperator()), must(nkeys.CreateOperator())
	system, account, other := must(nkeys.CreateAccount()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount())
	signs, scoped := must(nkeys.CreateAccount()), must(nkeys.CreateAccount())

	o := jwt.NewOperatorClaims(public(operator))
	o.Name = "O"
	o.SigningKeys.Add(public(operatorSigns))
	o.SystemAccount = public(system)
	o.Tags.Add("made-by:go")

	s := jwt.NewAccountClaims(public(system))
	s.Name = "SYS"

	a := jwt.NewAccountClaims(public(account))
	a.Name = "A"
	a.Description = "An account"
	a.InfoURL = "https://example.com"
	a.Tags.Add("x")
	a.SigningKeys.Add(public(signs))
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = public(scoped), "worker"
	scope.Template.Permissions.Pub.Allow.Add("tasks.{{name()}}.>")
	scope.Template.Permissions.Sub.Allow.Add("tasks.{{name()}}.>")
	scope.Template.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 3, Expires: time.Second}
	a.SigningKeys.AddScopedSigner(scope)
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: 1 << 20, DiskStorage: 1 << 30, Streams: 5, Consumer: 10, MaxAckPending: 100,
		MemoryMaxStreamBytes: 1 << 19, DiskMaxStreamBytes: 1 << 28,
	}
	a.Limits.Conn, a.Limits.Subs = 50, 100
	a.DefaultPermissions.Pub.Deny.Add("secret.>")
	a.AddMapping("orders", jwt.WeightedMapping{Subject: "orders.v2", Weight: 100})
	a.Exports.Add(
		&jwt.Export{Name: "news", Subject: "news.>", Type: jwt.Stream},
		&jwt.Export{Name: "svc", Subject: "svc.*", Type: jwt.Service, TokenReq: true},
		&jwt.Export{Name: "told", Subject: "told", Type: jwt.Service,
			Latency: &jwt.ServiceLatency{Sampling: 100, Results: "told.latency"}},
	)
	a.Revoke(public(must(nkeys.CreateUser())))

	activation := jwt.NewActivationClaims(public(other))
	activation.Name, activation.ImportSubject, activation.ImportType = "svc", "svc.*", jwt.Service
	b := jwt.NewAccountClaims(public(other))
	b.Name = "B"
	b.Imports.Add(
		&jwt.Import{Name: "news", Account: public(account), Subject: "news.>", LocalSubject: "from.a.>", Type: jwt.Stream},
		&jwt.Import{Name: "svc", Account: public(account), Subject: "svc.*", LocalSubject: "my.svc.*", Type: jwt.Service,
			Token: must(activation.Encode(account)), Share: true},
		&jwt.Import{Name: "told", Account: public(account), Subject: "told", LocalSubject: "told", Type: jwt.Service},
	)

	user := func(name string, by nkeys.KeyPair, of string, change func(*jwt.UserClaims)) {
		key := must(nkeys.CreateUser())
		claims := jwt.NewUserClaims(public(key))
		claims.Name = name
		if public(by) != of {
			claims.IssuerAccount = of
		}
		change(claims)
		credentials := must(jwt.FormatUserConfig(must(claims.Encode(by)), must(key.Seed())))
		check(os.WriteFile(name+".creds", credentials, 0o600))
	}
	user("plain", account, public(account), func(*jwt.UserClaims) {})
	user("signed", signs, public(account), func(c *jwt.UserClaims) {
		c.Permissions.Pub.Allow.Add("free")
		c.Permissions.Sub.Deny.Add("hidden.>")
		c.Limits.Src.Add("127.0.0.0/8")
		c.Expires = time.Now().Add(time.Hour).Unix()
	})
	user("worker", scoped, public(account), func(c *jwt.UserClaims) {
		c.UserPermissionLimits = jwt.UserPermissionLimits{}
	})
	user("late", account, public(account), func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Hour).Unix() })
	user("bearer", account, public(account), func(c *jwt.UserClaims) { c.BearerToken = true })
	user("elsewhere", account, public(account), func(c *jwt.UserClaims) { c.Limits.Src.Add("10.0.0.0/8") })
	user("browser", account, public(account), func(c *jwt.UserClaims) {
		c.AllowedConnectionTypes.Add(jwt.ConnectionTypeWebsocket)
	})
	user("other", other, public(other), func(*jwt.UserClaims) {})

	check(os.WriteFile("operator.jwt", []byte(must(o.Encode(operator))), 0o644))
	config := fmt.Sprintf("operator: %q\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n",
		filepath.Join(must(os.Getwd()), "operator.jwt"), public(system))
	for key, token := range map[string]string{
		public(system): must(s.Encode(operatorSigns)), public(account): must(a.Encode(operatorSigns)), public(other): must(b.Encode(operator)),
	} {
		config += fmt.Sprintf("  %s: %s\n", key, token)
	}
	check(os.WriteFile("tokens.conf", []byte(config+"}\n"), 0o644))
}

// What each user may do on a server with these tokens.
func tokens() {
	login := func(name string) (*nats.Conn, error) {
		return nats.Connect(os.Getenv("NATS_URL"), nats.UserCredentials(name+".creds"), nats.Name(name),
			nats.Timeout(patience), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	}
	for _, name := range []string{"plain", "signed", "worker", "bearer", "other", "late", "elsewhere", "browser"} {
		nc, err := login(name)
		if err != nil {
			show(name, err)
			continue
		}
		for _, subject := range []string{"free", "orders", "secret.a", "hidden.a", "tasks.worker.1", "tasks.x.1"} {
			// `orders` is mapped.
			sub := must(nc.SubscribeSync(strings.Replace(subject, "orders", "orders.>", 1)))
			check(nc.Publish(subject, []byte("x")))
			// What comes of it comes before the answer to this.
			check(nc.Flush())
			if waiting, _, err := sub.Pending(); err == nil && waiting > 0 {
				show(name, subject, "comes as", next(sub).Subject)
			} else {
				show(name, subject, "does not come")
			}
			check(sub.Unsubscribe())
		}
		nc.Close()
	}

	a, b := must(login("plain")), must(login("other"))
	defer a.Close()
	defer b.Close()
	js := must(a.JetStream())
	info := must(js.AccountInfo())
	show("limits", info.Limits.MaxMemory, info.Limits.MaxStore, info.Limits.MaxStreams, info.Limits.MaxConsumers)

	answer := func(m *nats.Msg) {
		if who := m.Header.Get("Nats-Request-Info"); who != "" {
			show("who asks", facts([]byte(who)))
		}
		check(m.Respond([]byte("answer on " + m.Subject)))
	}
	must(a.Subscribe("svc.*", answer))
	must(a.Subscribe("told", answer))
	reports := must(a.SubscribeSync("told.latency"))
	news := must(b.SubscribeSync("from.a.>"))
	check(a.Flush())
	check(b.Flush())
	check(a.Publish("news.today", nil))
	show("news", next(news).Subject)
	show("svc", must(b.Request("my.svc.q", nil, patience)).Data)
	show("told", must(b.Request("told", nil, patience)).Data)
	var report struct{ Requestor, Responder json.RawMessage }
	check(json.Unmarshal(next(reports).Data, &report))
	show("report", facts(report.Requestor), facts(report.Responder))
}

// What is told of a client, but for what differs from run to run.
func facts(text []byte) string {
	var all map[string]any
	check(json.Unmarshal(text, &all))
	delete(all, "rtt")
	told := []string{}
	for name, value := range all {
		if name == "name_tag" || name == "name" || name == "kind" || name == "client_type" {
			name = fmt.Sprint(name, "=", value)
		}
		told = append(told, name)
	}
	sort.Strings(told)
	return strings.Join(told, " ")
}

var token = regexp.MustCompile(`ey[\w-]+\.[\w-]+\.[\w-]+`)

// What the library says of each token in the files of the current directory, and whether reading and
// writing it again keeps all it says.
func audit() {
	var files []string
	check(filepath.Walk(".", func(path string, info os.FileInfo, err error) error {
		switch filepath.Ext(path) {
		case ".jwt", ".creds", ".conf":
			files = append(files, path)
		}
		return err
	}))
	sort.Strings(files)
	for _, file := range files {
		text := must(os.ReadFile(file))
		if strings.HasSuffix(file, ".creds") {
			claims := must(jwt.DecodeUserClaims(must(jwt.ParseDecoratedJWT(text))))
			key := must(jwt.ParseDecoratedUserNKey(text))
			show(file, "seed of the subject", claims.Subject == public(key))
		}
		for _, found := range token.FindAllString(string(text), -1) {
			claims, err := jwt.Decode(found)
			if err != nil {
				show(file, "error", err)
				continue
			}
			results := jwt.CreateValidationResults()
			claims.Validate(results)
			said := []string{}
			for _, issue := range results.Issues {
				said = append(said, issue.Description)
			}
			show(file, claims.ClaimType(), claims.Claims().Name, "issues", said, "lost", lost(found, claims))
		}
	}
}

// The names of what a token says and the library does not know.
func lost(token string, claims jwt.Claims) []string {
	var before, after any
	body := must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]))
	check(json.Unmarshal(body, &before))
	check(json.Unmarshal([]byte(claims.String()), &after))
	names := []string{}
	missing("", before, after, &names)
	sort.Strings(names)
	return names
}

func missing(path string, before, after any, names *[]string) {
	old, is := before.(map[string]any)
	if !is {
		return
	}
	now, _ := after.(map[string]any)
	for name, value := range old {
		if _, kept := now[name]; !kept {
			*names = append(*names, path+name)
			continue
		}
		missing(path+name+".", value, now[name], names)
	}
}
