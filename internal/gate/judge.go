package gate

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"boxfleet/jobs"
)

// judge decides what a request is, and refuses what is none a tenant may make.
func (g *Gate) judge(r *request) (*action, error) {
	switch t := r.tokens; {
	case len(t) == 4 && t[0] == "jobs":
		return r.job()
	case len(t) == 4 && t[0] == "submit":
		return r.submission()
	case len(t) == 4 && t[0] == "members":
		return r.members()
	case len(t) >= 3 && t[0] == "$KV":
		return g.put(r)
	case len(t) == 3 && t[0] == "wake", len(t) == 4 && t[0] == "ctl" && t[1] == "cancel", len(t) == 4 && t[0] == "done":
		return r.hint()
	case len(t) >= 4 && t[0] == "$JS" && t[1] == "API":
		return g.api(r)
	}
	return nil, refuse("it is no request a tenant may make")
}

// api decides about a request of JetStream's API.
func (g *Gate) api(r *request) (*action, error) {
	t := r.tokens[2:]
	switch {
	case t[0] == "STREAM" && len(t) == 3:
		switch t[1] {
		case "INFO":
			return g.streamInfo(r, t[2])
		case "PURGE":
			return r.purge(t[2])
		}
	case t[0] == "STREAM" && len(t) == 4 && t[1] == "MSG" && t[2] == "DELETE":
		return g.deleteMessage(r, t[3])
	case t[0] == "STREAM" && len(t) == 4 && t[1] == "MSG" && t[2] == "GET":
		return r.leaderGet(t[3])
	case t[0] == "DIRECT" && len(t) >= 3 && t[1] == "GET":
		return r.directGet(t[2], t[3:])
	case t[0] == "CONSUMER" && len(t) >= 4:
		switch {
		case t[1] == "CREATE":
			return g.createConsumer(r, t[2], t[3], t[4:])
		case t[1] == "DURABLE" && len(t) == 5 && t[2] == "CREATE":
			return g.createConsumer(r, t[3], t[4], nil)
		case t[1] == "INFO" && len(t) == 4:
			return g.consumerInfo(r, t[2], t[3])
		case t[1] == "DELETE" && len(t) == 4:
			return g.ownConsumer(r, t[2], t[3])
		case t[1] == "MSG" && len(t) == 5 && t[2] == "NEXT":
			return g.ownConsumer(r, t[3], t[4])
		}
	}
	return nil, refuse("it is no request of JetStream's API a tenant may make")
}

// mine refuses a subject of another tenant; i is the token that names it.
func (r *request) mine(i int) error {
	if r.tokens[i] != r.who.Tenant {
		return refuse("it is of tenant %s, and %s is of tenant %s", show(r.tokens[i]), r.who, r.who.Tenant)
	}
	return nil
}

// names refuses tokens that are no names.
func (r *request) names(at ...int) error {
	for _, i := range at {
		if !jobs.ValidID(r.tokens[i]) {
			return refuse("%s is not 1 to 64 letters, digits, - or _", show(r.tokens[i]))
		}
	}
	return nil
}

// hint passes on what core NATS tells and nothing depends on: that a queue has
// a new job, that a record asks for a cancel, that a job has ended.
func (r *request) hint() (*action, error) {
	at := 1 // wake.<tenant>.<lane>, done.<tenant>.<batch>.<id>
	if r.tokens[0] == "ctl" {
		at = 2 // ctl.cancel.<tenant>.<id>
	}
	if err := r.mine(at); err != nil {
		return nil, err
	}
	for i := at + 1; i < len(r.tokens); i++ {
		if err := r.names(i); err != nil {
			return nil, err
		}
	}
	if r.reply != "" || len(r.header) > 0 {
		return nil, refuse("a hint has neither headers nor a reply subject")
	}
	out := &nats.Msg{Subject: r.subject}
	if r.tokens[0] == "done" {
		rec, err := canceledRecord(r.data)
		if err != nil {
			return nil, err
		}
		if rec.Tenant != r.who.Tenant || rec.ID != r.tokens[3] {
			return nil, refuse("it tells of job %s of tenant %s", show(rec.ID), show(rec.Tenant))
		}
		if out.Data, err = json.Marshal(rec); err != nil {
			return nil, err
		}
	}
	return &action{out: out}, nil
}

// checkHeaders refuses headers that are not listed, and values that a list
// entry refuses. A nil check takes any short value.
func (r *request) checkHeaders(allowed map[string]func(string) error) (nats.Header, error) {
	out := nats.Header{}
	for name, values := range r.header {
		check, ok := allowed[name]
		switch {
		case !ok:
			return nil, refuse("header %s is not for tenants here", show(name))
		case len(values) != 1:
			return nil, refuse("header %s stands there %d times", show(name), len(values))
		case len(values[0]) > maxHeader:
			return nil, refuse("header %s has %d bytes; at most %d", show(name), len(values[0]), maxHeader)
		}
		if check != nil {
			if err := check(values[0]); err != nil {
				return nil, refuse("header %s: %v", name, err)
			}
		}
		out[name] = values
	}
	return out, nil
}

// maxHeader is the longest value of a header: baggage may have that much.
const maxHeader = 8 << 10

func exactly(want string) func(string) error {
	return func(v string) error {
		if v != want {
			return fmt.Errorf("%s; it must be %s", show(v), show(want))
		}
		return nil
	}
}
