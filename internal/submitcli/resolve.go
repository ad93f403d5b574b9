package submitcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/internal/argvmap"
	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// maxModule is the largest module that is read for a reference to an object or
// for a push.
const maxModule = 256 << 20

// resolved is a tool reference pinned to a digest.
type resolved struct {
	tool   jobs.Tool
	level  permission.Level // by its manifest; empty when it has none
	schema []byte
	mapper *argvmap.Mapper // made when first needed
}

// resolve pins a reference: NAME, NAME@VERSION, NAME@CHANNEL, sha256:DIGEST or
// s3://BUCKET/KEY.wasm. An object that is no blob yet becomes one, because a
// worker fetches modules by digest.
func (a *app) resolve(ctx context.Context, ref string) (*resolved, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(ref, "s3://") {
		return a.resolveObject(ctx, ref)
	}
	m, err := client.Resolve(ctx, ref)
	var missing *jobs.NotFoundError
	if errors.As(err, &missing) && strings.HasPrefix(ref, "sha256:") {
		return a.resolveDigest(ctx, ref, err)
	}
	if err != nil {
		if !errors.As(err, &missing) && strings.Contains(err.Error(), "tool reference") {
			err = usage(err)
		}
		return nil, err
	}
	if m.Yanked != nil {
		a.remark("tool %s@%s is yanked: %s; submit tool list %s --versions shows others", m.Name, m.Version, plain(yankReason(m.Yanked)), m.Name)
	}
	return &resolved{tool: m.Tool(), level: m.PermissionLevel(), schema: m.InputSchema}, nil
}

// resolveDigest finds a module that was uploaded but never registered.
func (a *app) resolveDigest(ctx context.Context, ref string, notFound error) (*resolved, error) {
	d, err := artifacts.ParseDigest(ref)
	if err != nil {
		return nil, usage(err)
	}
	store, err := a.store(ctx)
	if err != nil {
		return nil, notFound
	}
	o, err := store.Stat(ctx, "", d.Key())
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	return &resolved{tool: jobs.Tool{Digest: d, Size: o.Size}}, nil
}

func (a *app) resolveObject(ctx context.Context, ref string) (*resolved, error) {
	bucket, key, err := artifacts.ParseObject(ref)
	if err != nil || key == "" || strings.HasSuffix(key, "/") {
		return nil, usagef("tool reference %q: write s3://BUCKET/KEY.wasm", ref)
	}
	store, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	wasm, err := store.Get(ctx, bucket, key, maxModule)
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil, &jobs.NotFoundError{Kind: "tool", Name: ref}
	}
	if err != nil {
		return nil, fmt.Errorf("read tool %s: %w", ref, err)
	}
	if _, err := inspectModule(wasm); err != nil {
		return nil, usagef("tool %s: %w", ref, err)
	}
	d, err := store.PutBlob(ctx, bytes.NewReader(wasm), int64(len(wasm)))
	if err != nil {
		return nil, fmt.Errorf("pin tool %s: %w", ref, err)
	}
	return &resolved{tool: jobs.Tool{Digest: d, Size: int64(len(wasm))}}, nil
}

// isModuleFile tells whether a tool is given as a file of this machine: the
// names of tools have no dot.
func isModuleFile(ref string) bool {
	return strings.HasSuffix(ref, ".wasm") && !strings.Contains(ref, "://")
}

// resolveFile uploads a module of this machine. It gets no name in the
// registry, and the permission level of modules without one.
func (a *app) resolveFile(ctx context.Context, path string) (*resolved, error) {
	module, err := a.readTool(path, true)
	if err != nil {
		return nil, err
	}
	store, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	size := int64(len(module.wasm))
	d, err := store.PutBlob(ctx, bytes.NewReader(module.wasm), size)
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", path, err)
	}
	return &resolved{tool: jobs.Tool{Digest: d, Size: size}}, nil
}

// permit says early what a worker would say: what the tool's level does not let
// a job grant it. The operator's ceilings are the worker's to know.
func (r *resolved) permit(o *limits.RunOption) error {
	denials := permission.Anything.Check(permission.Request{Level: r.level, Options: o})
	if len(denials) == 0 {
		return nil
	}
	return &permission.DeniedError{Tool: r.tool.String(), Denials: denials}
}

// argv maps a JSON input to arguments by the tool's schema.
func (r *resolved) argv(input []byte) ([]string, error) {
	if r.mapper == nil {
		m, err := argvmap.New(r.schema)
		if err != nil {
			return nil, fmt.Errorf("tool %s: %w", r.tool, err)
		}
		r.mapper = m
	}
	return r.mapper.Argv(input)
}
