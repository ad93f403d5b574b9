package jobs

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Identity is who a connection's credentials say it is. The zero value is an
// identity of the fleet's own (worker, gate, operator), or a server without
// identities: its requests go to NATS as they are.
//
// A tenant's user may publish to one prefix only and listen to inboxes of its
// own; the fleet's gate reads each request, and passes on what the tenant may
// ask (docs/security.md). Nothing but subjects differs: a Client works the same
// on either kind of connection.
type Identity struct {
	Tenant, User string
}

// First tokens of the subjects that belong to tenants' users.
const (
	gateToken  = "gate"
	inboxToken = "inbox"
)

// Gated tells whether requests go through the gate.
func (i Identity) Gated() bool { return i.Tenant != "" }

// String is the identity as logs and audit events name it.
func (i Identity) String() string {
	if !i.Gated() {
		return ""
	}
	return i.Tenant + "." + i.User
}

// GatePrefix is what precedes the subject of every request, with its last dot.
func (i Identity) GatePrefix() string { return gateToken + "." + i.String() + "." }

// InboxPrefix is what precedes every inbox, without a last dot.
func (i Identity) InboxPrefix() string { return inboxToken + "." + i.String() }

// valid tells whether both are single tokens of a subject.
func (i Identity) valid() bool { return ValidID(i.Tenant) && ValidID(i.User) }

// ReadIdentity reads from a NATS credentials file (.creds) whose they are. The
// file's permissions say it: a tenant's user may publish to its gate prefix
// and to nothing else that matters here.
func ReadIdentity(file string) (Identity, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Identity{}, err
	}
	token, err := jwt.ParseDecoratedJWT(data)
	if err != nil {
		return Identity{}, fmt.Errorf("read the credentials %s: %w", file, err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return Identity{}, fmt.Errorf("read the credentials %s: %w", file, err)
	}
	for _, subject := range claims.Pub.Allow {
		if parts := strings.Split(subject, "."); len(parts) == 4 && parts[0] == gateToken && parts[3] == ">" {
			if i := (Identity{Tenant: parts[1], User: parts[2]}); i.valid() {
				return i, nil
			}
		}
	}
	return Identity{}, nil
}

// IdentityOf gives the identity of a connection that Connect made.
func IdentityOf(nc *nats.Conn) Identity {
	parts := strings.Split(nc.Opts.InboxPrefix, ".")
	if len(parts) != 3 || parts[0] != inboxToken {
		return Identity{}
	}
	return Identity{Tenant: parts[1], User: parts[2]}
}

// via gives the subject to which a request for subject is published on the
// connection.
func via(nc *nats.Conn, subject string) string {
	if i := IdentityOf(nc); i.Gated() {
		return i.GatePrefix() + subject
	}
	return subject
}

// tenantOf gives the tenant a client works for, when tenant was asked for.
func tenantOf(nc *nats.Conn, tenant string) (string, error) {
	switch i := IdentityOf(nc); {
	case tenant == "" && i.Gated():
		return i.Tenant, nil
	case tenant == "":
		return DefaultTenant, nil
	case !ValidID(tenant):
		return "", fmt.Errorf("tenant %q is not 1 to 64 letters, digits, - or _", tenant)
	case i.Gated() && tenant != i.Tenant:
		return "", fmt.Errorf("tenant %q: these credentials are of tenant %q (user %s); leave the tenant out, or use credentials of the other", tenant, i.Tenant, i.User)
	}
	return tenant, nil
}

// openJetStream gives the connection's JetStream, through the gate if there is
// one in between.
func openJetStream(nc *nats.Conn, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	i := IdentityOf(nc)
	if !i.Gated() {
		return jetstream.New(nc, opts...)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, i.GatePrefix()+"$JS.API", opts...)
	if err != nil {
		return nil, err
	}
	return &gatedJetStream{JetStream: js, nc: nc}, nil
}

// gatedJetStream publishes through the gate as well; the library's API prefix
// is for requests and buckets only.
type gatedJetStream struct {
	jetstream.JetStream
	nc *nats.Conn
}

func (g *gatedJetStream) through(m *nats.Msg) *nats.Msg {
	return &nats.Msg{Subject: via(g.nc, m.Subject), Header: m.Header, Data: m.Data}
}

func (g *gatedJetStream) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	return g.JetStream.PublishMsg(ctx, g.through(m), opts...)
}

func (g *gatedJetStream) PublishMsgAsync(m *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	return g.JetStream.PublishMsgAsync(g.through(m), opts...)
}

func (g *gatedJetStream) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return g.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, opts...)
}

func (g *gatedJetStream) PublishAsync(subject string, data []byte, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	return g.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data}, opts...)
}
