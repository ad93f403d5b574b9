package executor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits/permission"
)

// Registry tells as what a module is registered. *jobs.Registry is one.
type Registry interface {
	Lookup(ctx context.Context, d artifacts.Digest) ([]jobs.Registered, error)
}

// UseRegistry sets the registry. It must be called before the first attempt;
// an executor without one takes every module for unregistered.
func (e *Executor) UseRegistry(r Registry) { e.registry.Store(&r) }

// permit decides whether the job's tool may run at all, and with what the job
// grants it. It comes before the module is fetched or compiled. What counts is
// what the registry says about the module's digest: the name in the job is the
// submitter's word.
func (r *run) permit(ctx context.Context) error {
	tool := r.a.Job.Tool
	var list []jobs.Registered
	if registry := r.e.registry.Load(); registry != nil {
		var err error
		if list, err = (*registry).Lookup(ctx, tool.Digest); err != nil {
			return fmt.Errorf("look up tool %s: %w", tool, err)
		}
	}
	if r.e.cfg.RequireSigned {
		var denied *permission.DeniedError
		if list, denied = signed(tool, list); denied != nil {
			return r.forbid(denied)
		}
	}
	if r.a.Job.CompileOnly { // nothing of it runs
		return nil
	}
	var denials []permission.Denial
	for _, as := range effective(list) {
		request := permission.Request{Level: as.Level, Tenant: r.a.Job.Tenant, Options: &r.a.Job.Options}
		if as.Name != "" {
			request.Tool = as.Name + "@" + as.Version
		}
		for _, d := range r.e.cfg.Permissions.Check(request) {
			known := slices.ContainsFunc(denials, func(o permission.Denial) bool { return o.Rule == d.Rule && o.Field == d.Field })
			if !known {
				denials = append(denials, d)
			}
		}
		if rule := r.e.cfg.Permissions.SafeMethods(as.Level); rule != "" {
			r.safeMethods = rule
		}
	}
	if len(denials) == 0 {
		return nil
	}
	return r.forbid(&permission.DeniedError{Tool: tool.String(), Denials: denials})
}

// effective gives the versions whose levels a module must pass. The same module
// may be registered under several names: then each of their levels must let the
// job through, or a second registration would be a way around the first. Yanked
// versions count only when there are no others, so that a level that was wrong
// can be corrected by a new version and a yank. A module that nobody registered
// is one version without a level.
func effective(list []jobs.Registered) []jobs.Registered {
	if len(list) == 0 {
		return []jobs.Registered{{}}
	}
	current := slices.DeleteFunc(slices.Clone(list), func(as jobs.Registered) bool { return as.Yanked })
	if len(current) > 0 {
		return current
	}
	return list
}

// forbid notes denials in the result and ends the job with them.
func (r *run) forbid(denied *permission.DeniedError) error {
	reasons := make([]string, len(denied.Denials))
	for i, d := range denied.Denials {
		reasons[i] = d.String()
		r.res.Denials = append(r.res.Denials, jobs.Denial{What: "permission", Target: d.Field + ": " + d.Value, Rule: d.Rule + ": " + d.Reason, Count: 1})
	}
	return refuse(jobs.Denied, "tool %s: %s", denied.Tool, strings.Join(reasons, "; "))
}
