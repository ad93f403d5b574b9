package fleetauth

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// request is one call of S3, as a store's policy engine sees it.
type request struct {
	action, resource, prefix string
	ifNoneMatch, creates     bool
}

// allowed judges a request as the policy language says: a matching Deny wins,
// then a matching Allow, else no. Wildcards in resources match slashes too.
func (p *Policy) allowed(t *testing.T, r request) bool {
	t.Helper()
	verdict := false
	for _, s := range p.Statement {
		if !matchAny(s.Action, r.action) || !matchAny(s.Resource, r.resource) {
			continue
		}
		holds := true
		for op, keys := range s.Condition {
			for key, values := range keys {
				switch op + " " + key {
				case "StringLike s3:prefix":
					holds = holds && matchAny(values, r.prefix)
				case "Null s3:if-none-match":
					holds = holds && (values[0] == "true") == !r.ifNoneMatch
				case "Bool s3:ObjectCreationOperation":
					holds = holds && (values[0] == "true") == r.creates
				default:
					t.Fatalf("condition %s %s is not known here", op, key)
				}
			}
		}
		if !holds {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		verdict = true
	}
	return verdict
}

func matchAny(patterns []string, s string) bool {
	for _, p := range patterns {
		// path.Match knows * within a segment only.
		ok, err := path.Match(strings.ReplaceAll(p, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
		if err == nil && ok {
			return true
		}
	}
	return false
}

func TestS3Policies(t *testing.T) {
	const all = "arn:aws:s3:::fleet"
	get := func(key string) request { return request{action: "s3:GetObject", resource: all + "/" + key} }
	del := func(key string) request { return request{action: "s3:DeleteObject", resource: all + "/" + key} }
	put := func(key string) request {
		return request{action: "s3:PutObject", resource: all + "/" + key, creates: true}
	}
	add := func(key string) request { r := put(key); r.ifNoneMatch = true; return r }
	list := func(prefix string) request { return request{action: "s3:ListBucket", resource: all, prefix: prefix} }
	const blob = "blobs/sha256/00"
	for _, c := range []struct {
		role    Role
		can     []request
		mustNot []request
	}{
		{Submitter,
			[]request{get("inputs/acme/a/b"), put("inputs/acme/a"), del("inputs/acme/a"), get("outputs/acme/x"), put("outputs/acme/x"), get("out/acme/job/1/x"),
				get(blob), add(blob), {action: "s3:PutObject", resource: all + "/" + blob}, list("inputs/acme/"), list("out/acme/job/")},
			[]request{get("inputs/beta/a"), put("inputs/beta/a"), get("inputs/acme-2/a"), get("inputs/acme"), get("out/beta/job/1/x"), put("out/acme/job/1/x"), del("out/acme/job/1/x"),
				get("code/x/y"), put("code/x/y"), get("results/acme/x.json"), put("results/acme/x.json"), get("results/beta/x.json"), put(blob), del(blob), list(""), list("blobs/"), list("inputs/"), list("inputs/beta/"), list("out/"),
				get("probes/x"), put("probes/x"), {action: "s3:PutBucketPolicy", resource: all}, {action: "s3:GetObject", resource: "arn:aws:s3:::other/inputs/acme/a"}, {action: "s3:DeleteBucket", resource: all}}},
		{Worker,
			[]request{get("inputs/acme/a"), put("outputs/beta/a"), put("out/acme/j/1/x"), del("out/acme/j/1/x"), put("results/acme/x.json"), get("code/x/y"), put("code/x/y"), get(blob), put("probes/x"), del("probes/x"), list("out/")},
			[]request{put(blob), add(blob), del(blob), {action: "s3:PutBucketPolicy", resource: all}, {action: "s3:DeleteBucket", resource: all}, get("elsewhere/x")}},
		{Operator, []request{put(blob), del("inputs/acme/a"), list(""), {action: "s3:PutBucketPolicy", resource: all}}, []request{{action: "s3:GetObject", resource: "arn:aws:s3:::other/x"}}},
	} {
		tenant := ""
		if c.role == Submitter {
			tenant = "acme"
		}
		p, err := S3Policy(c.role, tenant, "fleet")
		if err != nil {
			t.Fatal(err)
		}
		data, err := p.Encode()
		if err != nil || len(data) > 2048 { // what stores take for one user's policy
			t.Errorf("%s: %d bytes, %v", c.role, len(data), err)
		}
		read := &Policy{}
		if err := json.Unmarshal(data, read); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.can {
			if !read.allowed(t, r) {
				t.Errorf("a %s cannot %+v", c.role, r)
			}
		}
		for _, r := range c.mustNot {
			if read.allowed(t, r) {
				t.Errorf("a %s can %+v", c.role, r)
			}
		}
	}
	for _, tenant := range []string{"", "*", "a/b", "${aws:username}"} {
		if _, err := S3Policy(Submitter, tenant, "fleet"); err == nil {
			t.Errorf("tenant %q has a policy", tenant)
		}
	}
	if _, err := S3Policy(Gate, "", "fleet"); err == nil {
		t.Error("a gate has a policy")
	}
}
