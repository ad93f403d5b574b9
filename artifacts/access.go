package artifacts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Access is the operator's answer to "which objects may a tenant's jobs name?".
// The worker asks it before it uses its own credentials, which reach more than
// any tenant should. The zero value denies everything.
//
// Blobs are not subject to it: whoever knows a digest may read its content,
// which is as hard to guess as a key. Names under which blobs lie are closed to
// every rule, since listing them would tell the digests.
type Access struct {
	rules    []Rule
	reserved []string // "bucket/prefix" that no rule opens
}

// Rule allows a tenant to read or write what lies under a place.
type Rule struct {
	// Pattern is "bucket/prefix/"; "{tenant}" stands for the tenant's name, as
	// a whole segment or a part of one. It ends in a slash, so that
	// "inputs/al/" is no way into "inputs/alice/".
	Pattern string
	Read    bool
	Write   bool
}

const tenantMark = "{tenant}"

// tenantName is what a tenant may be called: a NATS subject token that is also
// harmless in a key.
var tenantName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`)

// ParseRule understands "r:bucket/prefix/", "w:..." and "rw:...".
func ParseRule(s string) (Rule, error) {
	bad := func(why string) (Rule, error) {
		return Rule{}, fmt.Errorf("access rule %.200q: %w: %s; want for example r:boxfleet/inputs/{tenant}/", s, ErrInvalid, why)
	}
	mode, pattern, ok := strings.Cut(s, ":")
	if !ok {
		return bad(`no ":" between mode and place`)
	}
	r := Rule{Pattern: pattern}
	switch mode {
	case "r":
		r.Read = true
	case "w":
		r.Write = true
	case "rw":
		r.Read, r.Write = true, true
	default:
		return bad(fmt.Sprintf("mode %q is none of r, w, rw", mode))
	}
	if err := r.validate(); err != nil {
		return bad(err.Error())
	}
	return r, nil
}

func (r Rule) validate() error {
	if !r.Read && !r.Write {
		return errors.New("it allows neither reading nor writing")
	}
	if !strings.HasSuffix(r.Pattern, "/") {
		return errors.New("the place does not end in a slash")
	}
	plain := strings.ReplaceAll(r.Pattern, tenantMark, "tenant")
	if strings.ContainsAny(plain, "{}*?") {
		return errors.New("only {tenant} is replaced; other braces and wildcards mean nothing")
	}
	bucket, prefix, _ := strings.Cut(plain, "/")
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if prefix == "" {
		return nil
	}
	return CheckPath(strings.TrimSuffix(prefix, "/"))
}

func (r Rule) String() string {
	mode := ""
	if r.Read {
		mode = "r"
	}
	if r.Write {
		mode += "w"
	}
	return mode + ":" + r.Pattern
}

// DefaultRules let each tenant read its inputs and read and write its outputs in
// the given bucket.
func DefaultRules(bucket string) []Rule {
	return []Rule{
		{Pattern: bucket + "/inputs/" + tenantMark + "/", Read: true},
		{Pattern: bucket + "/outputs/" + tenantMark + "/", Read: true, Write: true},
	}
}

// NewAccess checks the rules. The reserved places ("bucket/prefix/") stay closed
// whatever the rules say; blobs of the given bucket are always among them.
func NewAccess(bucket string, rules []Rule, reserved ...string) (Access, error) {
	for _, r := range rules {
		if err := r.validate(); err != nil {
			return Access{}, fmt.Errorf("access rule %s: %w: %w", r, ErrInvalid, err)
		}
	}
	a := Access{rules: rules, reserved: []string{bucket + "/blobs/"}}
	for _, place := range reserved {
		if !strings.HasSuffix(place, "/") || !strings.Contains(strings.TrimSuffix(place, "/"), "/") {
			return Access{}, fmt.Errorf("reserved place %q: %w: want bucket/prefix/", place, ErrInvalid)
		}
		a.reserved = append(a.reserved, place)
	}
	return a, nil
}

// Check returns nil if the tenant may read, or write, the object or everything
// under the prefix (a name that ends in a slash). Otherwise it returns
// ErrAccess and says which rules there are.
func (a Access) Check(tenant, bucket, key string, write bool) error {
	verb := "read"
	if write {
		verb = "write"
	}
	deny := func(format string, args ...any) error {
		return fmt.Errorf("%w: tenant %q may not %s s3://%s/%s: %s", ErrAccess, tenant, verb, bucket, key, fmt.Sprintf(format, args...))
	}
	if !tenantName.MatchString(tenant) {
		return deny("that is no tenant's name")
	}
	// Some servers resolve dots and doubled slashes; a prefix comparison does not.
	if rel := strings.TrimSuffix(key, "/"); rel != "" {
		if err := CheckPath(rel); err != nil {
			return deny("%v", err)
		}
	}
	place := bucket + "/" + key
	for _, closed := range a.reserved {
		if strings.HasPrefix(place, closed) || strings.HasSuffix(place, "/") && strings.HasPrefix(closed, place) {
			return deny("%s is reserved", closed)
		}
	}
	for _, r := range a.rules {
		if write && !r.Write || !write && !r.Read {
			continue
		}
		if strings.HasPrefix(place, strings.ReplaceAll(r.Pattern, tenantMark, tenant)) {
			return nil
		}
	}
	if len(a.rules) == 0 {
		return deny("there are no rules, and without one nothing is allowed")
	}
	names := make([]string, len(a.rules))
	for i, r := range a.rules {
		names[i] = r.String()
	}
	return deny("no rule allows it; there are %s", strings.Join(names, ", "))
}
