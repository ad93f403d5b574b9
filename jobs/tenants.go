package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

// Bounds on what an operator may set for a tenant.
const (
	MaxWeight         = 1000
	MaxConcurrency    = 1_000_000
	maxTenantDocument = 4 << 10 // bytes
)

// TenantSettings are what an operator has set for one tenant. The zero value
// is what a tenant has that nobody set anything for.
type TenantSettings struct {
	// Concurrency is how many of the tenant's jobs run at once in the whole
	// fleet, of all priorities and keys together; 0 means as many as slots and
	// the fleet's tenant_concurrency allow.
	Concurrency int `json:"concurrency,omitempty" jsonschema:"description=jobs at once in the whole fleet; no cap when absent"`
	// Weight is the tenant's share of slots against other tenants with jobs
	// waiting; 0 means 1.
	Weight int `json:"weight,omitempty" jsonschema:"description=share of slots against other tenants; 1 when absent"`
}

// Validate names the setting that cannot be; errors are *limits.FieldError.
func (s TenantSettings) Validate() error {
	var errs []error
	check := func(field string, n, most int) {
		if n < 0 || n > most {
			errs = append(errs, &limits.FieldError{Field: field, Err: fmt.Errorf("%d; write 1 to %d, or leave it out", n, most)})
		}
	}
	check("concurrency", s.Concurrency, MaxConcurrency)
	check("weight", s.Weight, MaxWeight)
	return errors.Join(errs...)
}

// decodeTenant reads a document of the tenants bucket. A field that this
// program does not know is an error: a cap that is not understood must not be
// ignored.
func decodeTenant(data []byte) (TenantSettings, error) {
	var s TenantSettings
	if len(data) > maxTenantDocument {
		return s, fmt.Errorf("%d bytes, at most %d", len(data), maxTenantDocument)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return s, errors.New("more data after the settings")
	}
	return s, s.Validate()
}

// TenantEntry is one tenant of the tenants bucket.
type TenantEntry struct {
	Tenant   string         `json:"tenant"`
	Settings TenantSettings `json:"settings"`
	// Running is how many places of a capped tenant workers hold now.
	Running int `json:"running,omitempty"`
	// Error says why the settings cannot be read; the tenant's jobs wait then.
	Error string `json:"error,omitempty"`
}

// Tenants lists the tenants that an operator has set something for, by name.
// Settings that cannot be read are listed with their Error. To a tenant's
// credentials there is that tenant only.
func (c *Client) Tenants(ctx context.Context) ([]TenantEntry, error) {
	if i := IdentityOf(c.nc); i.Gated() {
		e, err := c.TenantSettings(ctx, i.Tenant)
		if _, none := errors.AsType[*NotFoundError](err); none {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []TenantEntry{e}, nil
	}
	kv, err := bindBucket(ctx, c.js, BucketTenants)
	if err != nil {
		return nil, err
	}
	keys, err := kv.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	var list []TenantEntry
	for _, tenant := range keys {
		e, err := c.tenantEntry(ctx, kv, tenant)
		if _, gone := errors.AsType[*NotFoundError](err); gone {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b TenantEntry) int { return strings.Compare(a.Tenant, b.Tenant) })
	return list, nil
}

// TenantSettings gives what an operator has set for a tenant, or
// *NotFoundError.
func (c *Client) TenantSettings(ctx context.Context, tenant string) (TenantEntry, error) {
	if err := checkTenantName(tenant); err != nil {
		return TenantEntry{}, err
	}
	kv, err := bindBucket(ctx, c.js, BucketTenants)
	if err != nil {
		return TenantEntry{}, err
	}
	return c.tenantEntry(ctx, kv, tenant)
}

func (c *Client) tenantEntry(ctx context.Context, kv jetstream.KeyValue, tenant string) (TenantEntry, error) {
	e := TenantEntry{Tenant: tenant}
	entry, err := kv.Get(ctx, tenant)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return e, &NotFoundError{Kind: "settings of tenant", Name: tenant, Hint: "a tenant without settings has weight 1 and no cap; set some with: submit tenant set " + tenant}
	}
	if err != nil {
		return e, fmt.Errorf("read the settings of tenant %s: %w", tenant, err)
	}
	if e.Settings, err = decodeTenant(entry.Value()); err != nil {
		e.Error = err.Error()
		return e, nil
	}
	if e.Settings.Concurrency > 0 {
		if e.Running, err = c.placesHeld(ctx, tenant); err != nil {
			return e, err
		}
	}
	return e, nil
}

// SetTenant stores a tenant's settings; workers take them in at once. Settings
// equal to the zero value are removed.
func (c *Client) SetTenant(ctx context.Context, tenant string, s TenantSettings) error {
	if err := errors.Join(checkTenantName(tenant), s.Validate()); err != nil {
		return err
	}
	if s == (TenantSettings{}) {
		return c.RemoveTenant(ctx, tenant)
	}
	kv, err := bindBucket(ctx, c.js, BucketTenants)
	if err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err == nil {
		_, err = kv.Put(ctx, tenant, data)
	}
	if err != nil {
		return fmt.Errorf("store the settings of tenant %s: %w", tenant, err)
	}
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tenant.set", Target: tenant + " " + string(data)})
	return nil
}

// RemoveTenant forgets a tenant's settings: weight 1 and no cap. Removing what
// is not there is no error.
func (c *Client) RemoveTenant(ctx context.Context, tenant string) error {
	if err := checkTenantName(tenant); err != nil {
		return err
	}
	kv, err := bindBucket(ctx, c.js, BucketTenants)
	if err != nil {
		return err
	}
	if err := kv.Delete(ctx, tenant); err != nil {
		return fmt.Errorf("remove the settings of tenant %s: %w", tenant, err)
	}
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tenant.remove", Target: tenant})
	return nil
}

func checkTenantName(tenant string) error {
	if !ValidID(tenant) {
		return &limits.FieldError{Field: "tenant", Err: fmt.Errorf("%q is not 1 to 64 letters, digits, - or _", tenant)}
	}
	return nil
}
