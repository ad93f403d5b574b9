package submitcli

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"boxfleet/internal/fleet"
)

// globals are the flags every command has.
type globals struct {
	context                                            string
	nats, natsUser, natsPassword, natsCreds            string
	natsCA, natsCert, natsKey, s3CA                    string
	s3Endpoint, s3Access, s3Secret, s3Bucket, s3Region string
	tenant                                             string
	connectTimeout                                     time.Duration
	json, quiet                                        bool
}

func (g *globals) register(f *pflag.FlagSet) {
	f.StringVar(&g.context, "context", "", "fleet context: a file, or a directory with a context.json")
	f.StringVar(&g.nats, "nats", "", "NATS address, such as nats://host:4222; several with commas")
	f.StringVar(&g.natsUser, "nats-user", "", "NATS user")
	f.StringVar(&g.natsPassword, "nats-password", "", "NATS password")
	f.StringVar(&g.natsCreds, "nats-creds", "", "NATS credentials file (.creds)")
	f.StringVar(&g.natsCA, "nats-ca", "", "PEM file of the authority that signed the NATS server's certificate")
	f.StringVar(&g.natsCert, "nats-cert", "", "PEM file of your own certificate, if the NATS server asks for one")
	f.StringVar(&g.natsKey, "nats-key", "", "PEM file of its key")
	f.StringVar(&g.s3Endpoint, "s3-endpoint", "", "object store: host:port, http:// or https:// address")
	f.StringVar(&g.s3Access, "s3-access-key", "", "object store access key")
	f.StringVar(&g.s3Secret, "s3-secret-key", "", "object store secret key")
	f.StringVar(&g.s3Bucket, "s3-bucket", "", "bucket of the fleet")
	f.StringVar(&g.s3Region, "s3-region", "", "region of the object store")
	f.StringVar(&g.s3CA, "s3-ca", "", "PEM file of the authority that signed the object store's certificate")
	f.StringVar(&g.tenant, "tenant", "", "whose jobs these are")
	f.DurationVar(&g.connectTimeout, "connect-timeout", 5*time.Second, "how long to wait for NATS")
	f.BoolVar(&g.json, "json", false, "print JSON")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no remarks; errors only")
}

// EnvPrefix starts the environment variables that stand for global flags:
// --nats-user is $BOXFLEET_NATS_USER. A flag wins over its variable.
const EnvPrefix = "BOXFLEET_"

// globalNames are the flags that have a variable.
var globalNames = []string{
	"context", "nats", "nats-user", "nats-password", "nats-creds", "nats-ca", "nats-cert", "nats-key",
	"s3-endpoint", "s3-access-key", "s3-secret-key", "s3-bucket", "s3-region", "s3-ca",
	"tenant", "connect-timeout", "json", "quiet",
}

// fromEnvironment sets the global flags that were not given from their
// variables.
func (g *globals) fromEnvironment(f *pflag.FlagSet) error {
	for _, name := range globalNames {
		flag := f.Lookup(name)
		env := EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value, set := os.LookupEnv(env)
		if !set || value == "" || flag == nil || flag.Changed {
			continue
		}
		if err := flag.Value.Set(value); err != nil {
			if flag.Value.Type() == "bool" {
				err = fmt.Errorf("%s is neither true nor false", strconv.Quote(value))
			}
			return usagef("$%s: %v", env, err)
		}
	}
	return nil
}

// fleet gives the context the flags name, with single values replaced by
// those of other flags.
func (g *globals) fleet() (*fleet.Context, error) {
	c, err := fleet.Load(g.context)
	if err != nil {
		if g.nats == "" || g.context != "" {
			return nil, err
		}
		c = &fleet.Context{}
	}
	for _, set := range []struct {
		to   *string
		from string
	}{
		{&c.NATS.URL, g.nats}, {&c.NATS.User, g.natsUser}, {&c.NATS.Password, g.natsPassword}, {&c.NATS.CredsFile, g.natsCreds},
		{&c.S3.Endpoint, g.s3Endpoint}, {&c.S3.AccessKey, g.s3Access}, {&c.S3.SecretKey, g.s3Secret},
		{&c.S3.Bucket, g.s3Bucket}, {&c.S3.Region, g.s3Region}, {&c.Tenant, g.tenant},
		{&c.NATS.CAFile, g.natsCA}, {&c.NATS.CertFile, g.natsCert}, {&c.NATS.KeyFile, g.natsKey}, {&c.S3.CAFile, g.s3CA},
	} {
		if set.from != "" {
			*set.to = set.from
		}
	}
	if c.NATS.URL == "" {
		return nil, fmt.Errorf("the fleet context %s names no NATS address; add one or give --nats", c.Path)
	}
	return c, nil
}
