package executor

import (
	"strings"
	"testing"

	"boxfleet/jobs"
)

// FuzzParseOutputKey: what is read as a run's key is what RunPrefix writes,
// and a run's prefix never reaches beyond its job.
func FuzzParseOutputKey(f *testing.F) {
	a := &jobs.Attempt{Job: &jobs.Job{ID: "job", Tenant: "tenant"}, Number: 12}
	for _, key := range []string{
		a.RunPrefix() + "files/dir/x", a.ManifestKey(), a.OutputPrefix(), "out/t/j/1/r/", "out/t/j/1/r//", "out/t/j/1/r/../../../../x",
		"out//j/1/r/x", "out/t/../1/r/x", "out/t/j/-1/r/x", "out/t/j/1/r", "out/t/j/+1/r/x", "out/t/j/1\x00/r/x", "out", "", "outs/t/j/1/r/x",
		"out/t/j/١/r/x", "out/t/j/manifest.json/", "out/t/j/1/manifest.json",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		k, ok := parseOutputKey(key)
		if !ok {
			return
		}
		job := "out/" + k.tenant + "/" + k.job + "/"
		if !jobs.ValidID(k.tenant) || !jobs.ValidID(k.job) || !strings.HasPrefix(key, job) {
			t.Fatalf("%q is read as %+v", key, k)
		}
		if k.run == "" {
			if key != job+"manifest.json" {
				t.Fatalf("%q is read as a manifest", key)
			}
			return
		}
		rest, below := strings.CutPrefix(k.run, job)
		if !below || !strings.HasPrefix(key, k.run) || strings.Count(rest, "/") != 2 || !strings.HasSuffix(k.run, "/") || strings.Contains(k.run, "..") {
			t.Fatalf("%q is read as the run %q", key, k.run)
		}
	})
}

// TestOwnKeysAreRead: the forms that boxfleet writes.
func TestOwnKeysAreRead(t *testing.T) {
	t.Parallel()
	a := &jobs.Attempt{Job: &jobs.Job{ID: "job-1", Tenant: "tenant_1"}, Number: 12}
	for key, run := range map[string]string{a.ManifestKey(): "", a.RunPrefix() + "stdio/stdout": a.RunPrefix(), a.RunPrefix() + "files/a/b": a.RunPrefix()} {
		if k, ok := parseOutputKey(key); !ok || k.tenant != "tenant_1" || k.job != "job-1" || k.run != run {
			t.Errorf("%q is read as %+v, %v", key, k, ok)
		}
	}
}
