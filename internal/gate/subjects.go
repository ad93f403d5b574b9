package gate

import (
	"encoding/json"
	"strconv"
	"strings"

	"boxfleet/jobs"
)

// within tells whether every subject that filter can match is matched by
// pattern. Both may hold wildcards.
func within(filter, pattern string) bool {
	f, p := strings.Split(filter, "."), strings.Split(pattern, ".")
	for i, want := range p {
		if i >= len(f) || f[i] == "" {
			return false
		}
		switch {
		case want == ">":
			return wellFormed(f)
		case f[i] == ">":
			return false
		case want != "*" && want != f[i]:
			return false
		}
	}
	return len(f) == len(p) && wellFormed(f)
}

// wellFormed tells whether the tokens make a subject or a filter.
func wellFormed(tokens []string) bool {
	for i, t := range tokens {
		switch {
		case t == "", strings.ContainsAny(t, " \t\r\n\f\x00"):
			return false
		case t == ">" && i < len(tokens)-1:
			return false
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return false // the server takes these for letters; better not to need to know
		}
	}
	return true
}

// literal tells whether a subject has no wildcard and no empty token.
func literal(subject string) bool {
	return wellFormed(strings.Split(subject, ".")) && !strings.ContainsAny(subject, "*>")
}

// readable lists what a tenant may read of each stream. Streams that are not
// listed are not there for tenants.
func readable(stream, tenant string) []string {
	kv := func(bucket string, keys ...string) []string {
		for i, k := range keys {
			keys[i] = "$KV." + bucket + "." + k
		}
		return keys
	}
	switch stream {
	case jobs.StreamJobs:
		return []string{"jobs." + tenant + ".*.*", "submit." + tenant + ".*.*", "members." + tenant + ".*.*"}
	case jobs.StreamEvents:
		return []string{"events." + tenant + ".>"}
	case jobs.StreamDead:
		return []string{"dlq." + tenant + ".>"}
	case "KV_" + jobs.BucketStatus:
		return kv(jobs.BucketStatus, tenant+".*")
	case "KV_" + jobs.BucketBatches:
		return kv(jobs.BucketBatches, tenant+".*")
	case "KV_" + jobs.BucketUnique:
		// Idempotency keys, and the last runs of schedules. Exactly so many
		// tokens: a tenant may be called "schedule".
		return kv(jobs.BucketUnique, tenant+".*", "schedule."+tenant+".*")
	case "KV_" + jobs.BucketKeys:
		return kv(jobs.BucketKeys, tenant+".*")
	case "KV_" + jobs.BucketTenants:
		return kv(jobs.BucketTenants, tenant)
	case "KV_" + jobs.BucketPlaces:
		return kv(jobs.BucketPlaces, tenant, tenant+".*")
	case "KV_" + jobs.BucketTools, "KV_" + jobs.BucketWorkers: // everybody's
		return []string{"$KV." + strings.TrimPrefix(stream, "KV_") + ".>"}
	}
	return nil
}

// shared tells whether a stream is every tenant's to read.
func shared(stream string) bool {
	return stream == "KV_"+jobs.BucketTools || stream == "KV_"+jobs.BucketWorkers
}

// mayRead tells whether the tenant may read everything a filter matches.
func mayRead(stream, tenant, filter string) bool {
	for _, p := range readable(stream, tenant) {
		if within(filter, p) {
			return true
		}
	}
	return false
}

// checkRead refuses filters that reach further than the tenant may read.
func checkRead(r *request, stream string, filters ...string) error {
	if readable(stream, r.who.Tenant) == nil {
		return refuse("there is no stream %s for tenants", show(stream))
	}
	for _, f := range filters {
		if !mayRead(stream, r.who.Tenant, f) {
			return refuse("%s of stream %s is not tenant %s's to read", show(f), stream, r.who.Tenant)
		}
	}
	return nil
}

// show makes hostile text fit for a log line or an error.
func show(s string) string { return strconv.QuoteToASCII(clip(s)) }

// clip shortens what is quoted elsewhere.
func clip(s string) string {
	if len(s) > 160 {
		return s[:160] + "..."
	}
	return s
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 500)])
}

func errorBody(code int, text string) []byte {
	data, err := json.Marshal(map[string]any{"error": map[string]any{"code": code, "err_code": errRefused, "description": text}})
	if err != nil {
		return nil
	}
	return data
}
