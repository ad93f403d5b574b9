package gate

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// Bounds of a follower's consumer.
const (
	maxFilters    = 64
	maxInactive   = 5 * time.Minute
	defInactive   = 30 * time.Second
	maxName       = 64
	maxWaitingFor = 16 // pull requests that wait at one consumer
)

// follower is the configuration of a consumer by which a tenant follows a
// stream: ephemeral, unacknowledged, in memory. What is not listed here cannot
// be asked for.
type follower struct {
	Name              string                  `json:"name,omitempty"`
	DeliverPolicy     jetstream.DeliverPolicy `json:"deliver_policy"`
	OptStartSeq       uint64                  `json:"opt_start_seq,omitempty"`
	OptStartTime      *time.Time              `json:"opt_start_time,omitempty"`
	AckPolicy         jetstream.AckPolicy     `json:"ack_policy"`
	AckWait           time.Duration           `json:"ack_wait,omitempty"`
	MaxDeliver        int                     `json:"max_deliver,omitempty"`
	MaxWaiting        int                     `json:"max_waiting,omitempty"`
	FilterSubject     string                  `json:"filter_subject,omitempty"`
	FilterSubjects    []string                `json:"filter_subjects,omitempty"`
	ReplayPolicy      jetstream.ReplayPolicy  `json:"replay_policy"`
	FlowControl       bool                    `json:"flow_control,omitempty"`
	IdleHeartbeat     time.Duration           `json:"idle_heartbeat,omitempty"`
	HeadersOnly       bool                    `json:"headers_only,omitempty"`
	DeliverSubject    string                  `json:"deliver_subject,omitempty"`
	InactiveThreshold time.Duration           `json:"inactive_threshold,omitempty"`
	Replicas          int                     `json:"num_replicas"`
	MemoryStorage     bool                    `json:"mem_storage,omitempty"`
}

// createConsumer passes on the making of a consumer: of one of the tenant's
// queues, or of one that follows what the tenant may read.
func (g *Gate) createConsumer(r *request, stream, name string, rest []string) (*action, error) {
	if err := r.apiHeaders(); err != nil {
		return nil, err
	}
	if stream == jobs.StreamJobs {
		return g.createQueue(r, name)
	}
	var q struct {
		Stream string   `json:"stream_name"`
		Config follower `json:"config"`
		Action string   `json:"action,omitempty"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	c := &q.Config
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append([]string{c.FilterSubject}, filters...)
	}
	switch {
	case q.Stream != stream:
		return nil, refuse("its payload is about stream %s", show(q.Stream))
	case len(filters) == 0:
		return nil, refuse("a consumer must have a filter: without one it reads everybody's")
	case len(filters) > maxFilters:
		return nil, refuse("%d filters; at most %d", len(filters), maxFilters)
	case len(rest) > 0 && (len(filters) != 1 || strings.Join(rest, ".") != filters[0]):
		return nil, refuse("the filter in its subject is not the one in its payload")
	case c.Name != "" && c.Name != name || !jobs.ValidID(name) || len(name) > maxName:
		return nil, refuse("a consumer's name %s in its subject, %s in its payload", show(name), show(c.Name))
	case c.AckPolicy != jetstream.AckNonePolicy:
		return nil, refuse("a tenant's consumer acknowledges nothing")
	case c.DeliverSubject != "" && !g.mayHear(r.who, c.DeliverSubject):
		// Deliveries are messages: elsewhere they would be writes.
		return nil, refuse("the delivery subject %s is no inbox of %s", show(c.DeliverSubject), r.who)
	}
	if err := checkRead(r, stream, filters...); err != nil {
		return nil, err
	}
	c.Name, c.Replicas, c.MemoryStorage = name, 1, true
	c.MaxWaiting = min(c.MaxWaiting, maxWaitingFor)
	if c.InactiveThreshold <= 0 {
		c.InactiveThreshold = defInactive
	}
	c.InactiveThreshold = min(c.InactiveThreshold, maxInactive)
	if c.DeliverSubject != "" {
		c.MaxWaiting = 0
	}
	q.Action = "create" // never the change of another's that has the name
	subject := "$JS.API.CONSUMER.CREATE." + stream + "." + name
	if len(filters) == 1 && c.FilterSubject != "" {
		subject += "." + filters[0]
	}
	return r.apiCall(subject, q, nil)
}

// createQueue makes one of the tenant's queues as the operator wants them;
// all the tenant chooses is how many jobs of a key run at once.
func (g *Gate) createQueue(r *request, name string) (*action, error) {
	var q struct {
		Stream string                   `json:"stream_name"`
		Config jetstream.ConsumerConfig `json:"config"`
		Action string                   `json:"action,omitempty"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	tenant, lane, ok := jobs.SplitQueue(name)
	if !ok || tenant != r.who.Tenant {
		return nil, refuse("%s is no queue of tenant %s", show(name), r.who.Tenant)
	}
	act := &action{}
	act.ask = func() error {
		stream, err := g.jobsConfig()
		if err != nil {
			return err
		}
		cfg, key, ok := jobs.QueueConfig(stream, tenant, lane)
		if !ok {
			return refuse("%s is no queue", show(name))
		}
		action := "create"
		if key {
			if n := q.Config.MaxAckPending; n < 1 || n > jobs.MaxLimit && n != cfg.MaxAckPending {
				return refuse("a key's limit is 1 to %d, not %d", jobs.MaxLimit, n)
			}
			cfg.MaxAckPending = q.Config.MaxAckPending
			if q.Action != "create" {
				action = q.Action
			}
			// Notes are counted, so that queues are.
			note, err := g.message("KV_"+jobs.BucketKeys, map[string]string{"last_by_subj": "$KV." + jobs.BucketKeys + "." + tenant + "." + lane})
			if err != nil {
				return err
			}
			if note == nil || note.marker() {
				return refuse("the key of queue %s has no note", show(name))
			}
		}
		if action != "create" && action != "update" && action != "" {
			return refuse("action %s", show(action))
		}
		out, err := r.apiCall("$JS.API.CONSUMER.CREATE."+jobs.StreamJobs+"."+name+"."+cfg.FilterSubject, map[string]any{
			"stream_name": jobs.StreamJobs, "config": cfg, "action": action,
		}, nil)
		if err == nil {
			act.out = out.out
		}
		return err
	}
	return act, nil
}

// consumerInfo passes on a look at one of the tenant's queues or consumers.
func (g *Gate) consumerInfo(r *request, stream, name string) (*action, error) {
	if stream != jobs.StreamJobs {
		return g.ownConsumer(r, stream, name)
	}
	if tenant, _, ok := jobs.SplitQueue(name); !ok || tenant != r.who.Tenant {
		return nil, refuse("%s is no queue of tenant %s", show(name), r.who.Tenant)
	}
	if len(r.data) > 0 {
		return nil, refuse("it has a payload of %d bytes, and needs none", len(r.data))
	}
	return r.apiCall("$JS.API.CONSUMER.INFO."+stream+"."+name, nil, nil)
}

// ownConsumer passes on what is done with a consumer that follows: it must be
// one that this tenant could have made.
func (g *Gate) ownConsumer(r *request, stream, name string) (*action, error) {
	if err := r.apiHeaders(); err != nil {
		return nil, err
	}
	if readable(stream, r.who.Tenant) == nil || stream == jobs.StreamJobs || !jobs.ValidID(name) {
		return nil, refuse("%s of stream %s is no consumer of tenant %s", show(name), show(stream), r.who.Tenant)
	}
	if len(r.data) > 512 {
		return nil, refuse("its payload has %d bytes", len(r.data))
	}
	act := &action{out: &nats.Msg{Subject: r.subject, Data: r.data}}
	key := r.who.Tenant + " " + stream + " " + name
	if g.own.has(key) {
		return act, nil
	}
	act.ask = func() error {
		var c struct {
			Config struct {
				FilterSubject  string   `json:"filter_subject"`
				FilterSubjects []string `json:"filter_subjects"`
				DeliverSubject string   `json:"deliver_subject"`
			} `json:"config"`
		}
		if err := g.call("CONSUMER.INFO."+stream+"."+name, nil, &c); err != nil {
			if isMissing(err) {
				return nil // the server says so as well, in the form of the operation
			}
			return err
		}
		filters := c.Config.FilterSubjects
		if c.Config.FilterSubject != "" {
			filters = append(filters, c.Config.FilterSubject)
		}
		heard := strings.HasPrefix(c.Config.DeliverSubject, "inbox."+r.who.Tenant+".")
		mine := len(filters) > 0 && (heard || c.Config.DeliverSubject == "" && !shared(stream))
		for _, f := range filters {
			mine = mine && mayRead(stream, r.who.Tenant, f)
		}
		if !mine {
			return refuse("%s of stream %s is no consumer of tenant %s", show(name), stream, r.who.Tenant)
		}
		g.own.add(key)
		return nil
	}
	return act, nil
}

// owned remembers consumers that were seen to be a tenant's. Their names are
// random, so that one is hardly ever used twice; it forgets all the same.
type owned struct {
	mu       sync.Mutex
	new, old map[string]bool
	since    time.Time
}

const (
	ownedFor  = time.Minute
	ownedMost = 4096
)

func (o *owned) has(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.age()
	return o.new[key] || o.old[key]
}

func (o *owned) add(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.age()
	o.new[key] = true
}

func (o *owned) age() {
	if o.new == nil || time.Since(o.since) > ownedFor || len(o.new) >= ownedMost {
		o.new, o.old, o.since = map[string]bool{}, o.new, time.Now()
	}
}
