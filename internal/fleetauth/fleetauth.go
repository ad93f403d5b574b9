// Package fleetauth makes the identities of a fleet: an operator key, one NATS
// account, and credentials for its users, as decentralised JWT authentication
// of nats-server has them. The server gets two signed documents and no secret;
// a new user needs no change of the server's at all, the end of one needs the
// documents anew.
//
// `submit admin` is its caller. Who may do what is in permissions.go.
package fleetauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"boxfleet/jobs"
)

// Files of an authority's directory. Those that end in .nk are its secrets.
const (
	fileState   = "authority.json"
	fileServer  = "nats-accounts.conf"
	dirCreds    = "creds"
	keyOperator = "operator.nk"
	keyAccount  = "account.nk"
	keySystem   = "system.nk"
)

// Authority is who signs a fleet's identities. One process at a time may
// change it.
type Authority struct {
	dir                       string
	operator, account, system nkeys.KeyPair
	state                     state
}

// state is what an authority remembers; nothing in it is secret.
type state struct {
	Name     string    `json:"name"`
	Operator string    `json:"operator_jwt"`
	Account  string    `json:"account_jwt"`
	System   string    `json:"system_jwt"`
	Issued   []*Issued `json:"issued"`
}

// Issued is one identity that was given out.
type Issued struct {
	Role      Role       `json:"role"`
	Tenant    string     `json:"tenant,omitempty"`
	User      string     `json:"user"`
	PublicKey string     `json:"public_key"`
	IssuedAt  time.Time  `json:"issued_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	// File are the credentials, as they were written.
	File string `json:"file"`
}

// Init makes a new authority in dir, which must not have one.
func Init(dir, name string) (*Authority, error) {
	if !jobs.ValidID(name) {
		return nil, fmt.Errorf("fleet name %q is not 1 to 64 letters, digits, - or _", name)
	}
	if err := os.MkdirAll(filepath.Join(dir, dirCreds), 0o700); err != nil {
		return nil, err
	}
	for _, f := range []string{fileState, keyOperator, keyAccount, keySystem} {
		if _, err := os.Lstat(filepath.Join(dir, f)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already: an authority that is replaced locks everybody out; choose another directory", filepath.Join(dir, f))
		}
	}
	a := &Authority{dir: dir, state: state{Name: name}}
	for _, k := range []struct {
		to   *nkeys.KeyPair
		file string
		make func() (nkeys.KeyPair, error)
	}{{&a.operator, keyOperator, nkeys.CreateOperator}, {&a.account, keyAccount, nkeys.CreateAccount}, {&a.system, keySystem, nkeys.CreateAccount}} {
		pair, err := k.make()
		if err != nil {
			return nil, err
		}
		seed, err := pair.Seed()
		if err != nil {
			return nil, err
		}
		if err := writeNew(filepath.Join(dir, k.file), append(seed, '\n')); err != nil {
			return nil, err
		}
		*k.to = pair
	}
	if err := a.sign(nil); err != nil {
		return nil, err
	}
	return a, a.save()
}

// Open reads the authority in dir, with its keys.
func Open(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, fileState))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no authority; make one with: submit admin init --dir %s", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &a.state); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, fileState), err)
	}
	for _, k := range []struct {
		to   *nkeys.KeyPair
		file string
		kind nkeys.PrefixByte
	}{{&a.operator, keyOperator, nkeys.PrefixByteOperator}, {&a.account, keyAccount, nkeys.PrefixByteAccount}, {&a.system, keySystem, nkeys.PrefixByteAccount}} {
		if *k.to, err = readKey(filepath.Join(dir, k.file), k.kind); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// readKey reads a seed that nobody else can read.
func readKey(path string, kind nkeys.PrefixByte) (nkeys.KeyPair, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %v): whoever has it is the fleet's operator; chmod it to 0600, and make a new authority if somebody may have read it", path, info.Mode().Perm())
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", path, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", path, err)
	}
	if nkeys.Prefix(public) != kind {
		return nil, fmt.Errorf("%s holds a key of kind %s, not %s", path, nkeys.Prefix(public), kind)
	}
	return pair, nil
}

// sign makes the fleet's account document, in which revoked keys stay revoked,
// and with the first one those of the operator and of the servers' own account.
// These are never made again: a server that reloads refuses another operator
// document, even one that differs in its time alone.
func (a *Authority) sign(revoked jwt.RevocationList) error {
	operatorKey, err := a.operator.PublicKey()
	if err != nil {
		return err
	}
	accountKey, err := a.account.PublicKey()
	if err != nil {
		return err
	}
	systemKey, err := a.system.PublicKey()
	if err != nil {
		return err
	}
	acc := jwt.NewAccountClaims(accountKey)
	acc.Name = a.state.Name
	acc.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	acc.Limits.DisallowBearer = true
	// Nobody is allowed anything by default: permissions come with the user.
	acc.DefaultPermissions = jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{">"}}, Sub: jwt.Permission{Deny: jwt.StringList{">"}}}
	acc.Revocations = revoked
	if a.state.Account, err = acc.Encode(a.operator); err != nil {
		return err
	}
	if a.state.Operator != "" {
		return nil
	}
	op := jwt.NewOperatorClaims(operatorKey)
	op.Name, op.SystemAccount = a.state.Name, systemKey
	if a.state.Operator, err = op.Encode(a.operator); err != nil {
		return err
	}
	sys := jwt.NewAccountClaims(systemKey)
	sys.Name = "SYS"
	sys.Limits.DisallowBearer = true
	a.state.System, err = sys.Encode(a.operator)
	return err
}

// save writes the state and the server's part, each at once or not at all.
func (a *Authority) save() error {
	data, err := json.MarshalIndent(a.state, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(a.dir, fileState), append(data, '\n'), 0o600); err != nil {
		return err
	}
	conf, err := a.ServerConfig()
	if err != nil {
		return err
	}
	return replace(filepath.Join(a.dir, fileServer), conf, 0o644)
}

// ServerConfigFile is where the part of nats-server's configuration is kept
// that says who may connect.
func (a *Authority) ServerConfigFile() string { return filepath.Join(a.dir, fileServer) }

// ServerConfig is that part. Every server of the cluster includes it; it holds
// no secret, only what the operator has signed.
func (a *Authority) ServerConfig() ([]byte, error) {
	account, err := a.account.PublicKey()
	if err != nil {
		return nil, err
	}
	system, err := a.system.PublicKey()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `# Who may connect to the fleet %[1]s. Made by submit admin: do not edit.
# Include it in the configuration of every server; reload them when it changes.
operator: %[2]s
system_account: %[3]s
resolver: MEMORY
resolver_preload: {
  # the fleet
  %[4]s: %[5]s
  # the servers' own
  %[3]s: %[6]s
}
`, a.state.Name, a.state.Operator, system, account, a.state.Account, a.state.System), nil
}

// Grant is an identity to give out.
type Grant struct {
	Role Role
	// Tenant and User of a submitter; User names other identities.
	Tenant, User string
	// Expires after this time; zero means never.
	Expires time.Duration
	// Networks from which it may connect, as CIDR; empty for any.
	Networks []string
}

func (g Grant) validate() error {
	if !slices.Contains(Roles, g.Role) {
		return fmt.Errorf("role %q is none of %s", g.Role, Roles)
	}
	if g.Role == Submitter && !jobs.ValidID(g.Tenant) {
		return fmt.Errorf("tenant %q is not 1 to 64 letters, digits, - or _", g.Tenant)
	}
	if g.Role != Submitter && g.Tenant != "" {
		return fmt.Errorf("a %s works for all tenants; leave the tenant out", g.Role)
	}
	if !jobs.ValidID(g.User) || g.User == "log" { // events.<tenant>.<job>.log is its neighbour
		return fmt.Errorf("user %q is not 1 to 64 letters, digits, - or _, or is \"log\"", g.User)
	}
	if g.Expires < 0 {
		return fmt.Errorf("expires %s: it is over already", g.Expires)
	}
	return nil
}

func (g Grant) name() string {
	if g.Role == Submitter {
		return g.Tenant + "." + g.User
	}
	return string(g.Role) + "-" + g.User
}

// Issue makes an identity and writes its credentials file.
func (a *Authority) Issue(g Grant) (*Issued, error) {
	if err := g.validate(); err != nil {
		return nil, err
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	out := &Issued{Role: g.Role, Tenant: g.Tenant, User: g.User, PublicKey: public, IssuedAt: now}
	claims := jwt.NewUserClaims(public)
	claims.Name = g.name()
	claims.Permissions = permissions(g)
	claims.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard}
	if g.Role == Submitter {
		claims.Limits.Subs, claims.Limits.Payload = submitterSubs, submitterPayload
	}
	for _, n := range g.Networks {
		claims.Src.Add(n)
	}
	if g.Expires > 0 {
		end := now.Add(g.Expires)
		out.ExpiresAt, claims.Expires = &end, end.Unix()
	}
	var faults jwt.ValidationResults
	claims.Validate(&faults)
	if errs := faults.Errors(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	signer := a.account
	if g.Role == System {
		signer = a.system
	}
	token, err := claims.Encode(signer)
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return nil, err
	}
	out.File = filepath.Join(a.dir, dirCreds, g.name()+".creds")
	if err := writeNew(out.File, creds); err != nil {
		return nil, fmt.Errorf("%w; revoke that identity first, or choose another user", err)
	}
	a.state.Issued = append(a.state.Issued, out)
	return out, a.save()
}

// Issued lists the identities that were given out, oldest first.
func (a *Authority) Issued() []*Issued { return slices.Clone(a.state.Issued) }

// Revoke ends an identity, named by its public key or its name (TENANT.USER,
// ROLE-USER), once the servers have the new configuration. Its connections are
// cut then. The credentials file is removed.
func (a *Authority) Revoke(name string) (*Issued, error) {
	claims, err := jwt.DecodeAccountClaims(a.state.Account)
	if err != nil {
		return nil, err
	}
	for _, i := range a.state.Issued {
		if i.RevokedAt != nil || i.PublicKey != name && (Grant{Role: i.Role, Tenant: i.Tenant, User: i.User}).name() != name {
			continue
		}
		if i.Role == System {
			return nil, errors.New("identities of the system account do not work here; make a new authority if its key is lost")
		}
		now := time.Now().UTC()
		i.RevokedAt = &now
		claims.Revoke(i.PublicKey)
		if err := a.sign(claims.Revocations); err != nil {
			return nil, err
		}
		if err := os.Remove(i.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return i, a.save()
	}
	return nil, fmt.Errorf("no identity %q that is in force; list them with: submit admin list", name)
}

// writeNew writes a secret into a file that must not be there.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func replace(path string, data []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
