// Package webhook sends notifications to HTTP endpoints, signed by the Standard
// Webhooks specification (https://www.standardwebhooks.com). It is a
// [jobs.Notifier]; whoever coordinates the fleet calls it, and tries again.
//
// Addresses come from whoever submits jobs, and the request from inside the
// operator's network. So nothing is sent that the operator's list of hosts
// does not allow, connections go through the guarded dialer of package
// outbound (which checks the address it dials, every time), no redirect is
// followed, and what the endpoint answers is read no further than it takes to
// say what went wrong.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"boxfleet/executor/outbound"
	"boxfleet/jobs"
	"boxfleet/limits/netpolicy"
)

// Config are the operator's settings.
type Config struct {
	// Hosts are the endpoints that may be told, in the form of
	// allowed_outbound_hosts. Plain http is sent only where an entry says
	// http://.
	Hosts []string
	// AllowPrivate lets endpoints have private addresses.
	AllowPrivate bool
	// Secrets are the operator's, by name. Their values are keys: whsec_ and
	// base64, or any text.
	Secrets map[string]string
	// RootCAs verify endpoints; nil means the system's.
	RootCAs *x509.CertPool
	// Now is the time that requests are stamped with; nil means time.Now.
	Now func() time.Time
}

// Notifier sends notifications. It is safe for concurrent use.
type Notifier struct {
	cfg    Config
	policy *netpolicy.Policy
	plain  *netpolicy.Policy // of entries that name http
}

// limits bound one request. A hanging endpoint holds a place among the
// deliveries that are under way.
var limits = outbound.Limits{
	Requests: 1, Concurrent: 1, Bytes: 256 << 10, HeaderBytes: 16 << 10,
	Connect: 5 * time.Second, FirstByte: 15 * time.Second, BetweenBytes: 3 * time.Second,
}

// maxAnswer is how much of an answer is read, and shown when it is an error.
const maxAnswer = 200

// New reads the list of hosts. An empty one is an error: then there is to be no
// notifier at all.
func New(cfg Config) (*Notifier, error) {
	if len(cfg.Hosts) == 0 {
		return nil, errors.New("webhooks need at least one allowed host")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var plain []string
	for _, h := range cfg.Hosts {
		if strings.HasPrefix(strings.ToLower(h), "http://") {
			plain = append(plain, h)
		}
	}
	n := &Notifier{cfg: cfg}
	options := netpolicy.Options{AllowPrivate: cfg.AllowPrivate}
	policy, err := netpolicy.Parse(cfg.Hosts, nil, nil)
	if err != nil {
		return nil, err
	}
	n.policy = policy.WithOptions(options)
	if len(plain) > 0 {
		if policy, err = netpolicy.Parse(plain, nil, nil); err != nil {
			return nil, err
		}
		n.plain = policy.WithOptions(options)
	}
	return n, nil
}

// Notify makes one attempt. Any answer but 2xx is an error, 410 (Gone) one that
// no further attempt can help.
func (n *Notifier) Notify(ctx context.Context, m *jobs.Notification) error {
	target, err := netpolicy.ParseURL(m.Webhook.URL)
	if err != nil {
		return &jobs.RefusedError{Reason: fmt.Sprintf("the webhook's address: %v", err)}
	}
	policy := n.policy
	if target.Scheme != "https" {
		if policy = n.plain; policy == nil {
			return &jobs.RefusedError{Reason: "the webhook's address is plain http, which no entry of the operator's webhook-hosts allows"}
		}
	}
	key, err := n.key(m.Webhook.Secret)
	if err != nil {
		return &jobs.RefusedError{Reason: err.Error()}
	}
	client := outbound.New(outbound.Config{Policy: policy, Limits: limits, RootCAs: n.cfg.RootCAs})
	defer client.Close()
	stamp := strconv.FormatInt(n.cfg.Now().Unix(), 10)
	resp, err := client.Do(ctx, outbound.Request{
		Method: http.MethodPost, Target: target, Body: bytes.NewReader(m.Body), ContentLength: int64(len(m.Body)),
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"boxfleet-webhook"},
			"Webhook-Id": {m.ID}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {Sign(key, m.ID, stamp, m.Body)},
		},
	})
	var denied *outbound.DeniedError
	switch {
	case errors.As(err, &denied):
		return &jobs.RefusedError{Reason: "by the operator's webhook settings: " + denied.Error()}
	case err != nil:
		return fmt.Errorf("post to %s: %w", target.Origin(), withoutPath(err))
	}
	defer resp.Body.Close()
	return judge(resp, target.Origin())
}

// judge turns an answer into what became of the notification.
func judge(resp *http.Response, origin string) error {
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("post to %s: it answered %d, a redirect, and none is followed; give the final address", origin, code)
	case code == http.StatusGone:
		return jobs.Permanent(fmt.Errorf("post to %s: it answered 410: nobody is there any more", origin))
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	said := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, string(text)))
	if said != "" {
		said = ": " + said
	}
	return fmt.Errorf("post to %s: it answered %d%s", origin, resp.StatusCode, said)
}

// withoutPath drops the request's address from net errors: paths carry
// secrets, and this text is shown to whoever may list batches.
func withoutPath(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}

// key reads the signing key that secret://name stands for.
func (n *Notifier) key(ref string) ([]byte, error) {
	name, ok := strings.CutPrefix(ref, "secret://")
	if !ok {
		return nil, errors.New("the webhook's secret is not secret://NAME")
	}
	value, ok := n.cfg.Secrets[name]
	if !ok || value == "" {
		return nil, fmt.Errorf("the operator's secrets have no %q", name)
	}
	encoded, ok := strings.CutPrefix(value, "whsec_")
	if !ok {
		return []byte(value), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the operator's secret %q begins with whsec_ and goes on with what is not base64", name) // the cause may quote it
	}
	return key, nil
}

// Sign gives the webhook-signature of a message: v1 and the base64 of
// HMAC-SHA256 over id, timestamp (Unix seconds) and body, joined by dots.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
