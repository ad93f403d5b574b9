package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConnConfig says how to reach NATS.
type ConnConfig struct {
	// URL is one or more nats:// addresses, comma separated.
	URL string
	// User and Password, or CredsFile (a NATS .creds file), authenticate.
	User, Password string
	CredsFile      string
	// CAFile verifies the server; CertFile and KeyFile are for mutual TLS.
	CAFile, CertFile, KeyFile string
	// Name is shown in the server's connection list.
	Name string
	// Wait is how long Connect keeps trying; 0 tries once.
	Wait time.Duration
	Log  *slog.Logger
}

func (c ConnConfig) options(log *slog.Logger, who Identity) []nats.Option {
	opts := []nats.Option{
		nats.Name(c.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1), // a publish while cut off fails at once: our own retries decide
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("reconnected to NATS", "url", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			log.Warn("NATS reported an error", "error", err)
		}),
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if who.Gated() {
		opts = append(opts, nats.CustomInboxPrefix(who.InboxPrefix()))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	return opts
}

// Connect dials NATS, trying again with growing pauses until c.Wait is over
// or ctx ends, and says so in the log. A refused login is not tried again.
func Connect(ctx context.Context, c ConnConfig) (*nats.Conn, jetstream.JetStream, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for _, file := range []string{c.CredsFile, c.CAFile, c.CertFile, c.KeyFile} {
		if file == "" {
			continue
		}
		// The client library would try again for ever.
		if _, err := os.Stat(file); err != nil {
			return nil, nil, fmt.Errorf("connect to NATS at %s: %w", redact(c.URL), err)
		}
	}
	var who Identity
	if c.CredsFile != "" {
		var err error
		if who, err = ReadIdentity(c.CredsFile); err != nil {
			return nil, nil, fmt.Errorf("connect to NATS at %s: %w", redact(c.URL), err)
		}
	}
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(c.Wait))
	var nc *nats.Conn
	dial := func() error {
		var err error
		nc, err = nats.Connect(c.URL, c.options(log, who)...)
		switch {
		case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
			return backoff.Permanent(fmt.Errorf("%w: check the user and password, or the creds file", err))
		case err != nil && c.Wait == 0:
			return backoff.Permanent(err)
		}
		return err
	}
	said := false
	err := backoff.RetryNotify(dial, backoff.WithContext(policy, ctx), func(err error, next time.Duration) {
		level := slog.LevelDebug
		if !said || next > time.Second {
			level, said = slog.LevelWarn, true
		}
		log.Log(ctx, level, "cannot reach NATS yet, trying again", "url", redact(c.URL), "error", err, "pause", next.Round(time.Millisecond))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to NATS at %s: %w", redact(c.URL), err)
	}
	js, err := openJetStream(nc, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(30*time.Second))
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return nc, js, nil
}

// redact takes user:password@ out of an address before it is shown.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, u := range parts {
		if at := strings.LastIndex(u, "@"); at >= 0 {
			scheme, _, ok := strings.Cut(u, "://")
			if ok {
				parts[i] = scheme + "://" + u[at+1:]
			} else {
				parts[i] = u[at+1:]
			}
		}
	}
	return strings.Join(parts, ",")
}
