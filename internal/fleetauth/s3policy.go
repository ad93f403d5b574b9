package fleetauth

import (
	"encoding/json"
	"fmt"

	"boxfleet/jobs"
)

// Policy is a document of S3's access policy language (version 2012-10-17).
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement allows or denies actions on resources.
type Statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Encode gives the document as it is handed to an object store.
func (p *Policy) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(p, "", "  ")
	return append(data, '\n'), err
}

// S3Policy is what the credentials of a role may do with the fleet's bucket.
//
// A tenant reads and writes inputs/<tenant>/ and outputs/<tenant>/, and reads
// out/<tenant>/, where workers put what its jobs leave. Blobs are everybody's
// by digest: a tenant adds and reads them and cannot list them, since the list
// would tell the digests, nor remove them. results/ and code/ are workers' alone.
//
// The condition on blobs/ lets a tenant add what is not there and replace
// nothing; Store.PutBlob asks for just that, but for files that go up in parts
// (64 MiB and more), which an operator uploads. Stores that do not know the key s3:if-none-match refuse the policy
// or ignore the statement; docs/security.md says what that means.
func S3Policy(role Role, tenant, bucket string) (*Policy, error) {
	place := "arn:aws:s3:::" + bucket
	at := func(prefixes ...string) []string {
		out := make([]string, len(prefixes))
		for i, p := range prefixes {
			out[i] = place + "/" + p + "*"
		}
		return out
	}
	p := &Policy{Version: "2012-10-17"}
	allow := func(sid string, actions, resources []string, condition map[string]map[string][]string) {
		p.Statement = append(p.Statement, Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources, Condition: condition})
	}
	multipart := []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
	switch role {
	case Submitter:
		if !jobs.ValidID(tenant) {
			return nil, fmt.Errorf("tenant %q is not 1 to 64 letters, digits, - or _", tenant)
		}
		allow("OwnObjects", append([]string{"s3:GetObject", "s3:DeleteObject"}, multipart...), at("inputs/"+tenant+"/", "outputs/"+tenant+"/"), nil)
		allow("OwnResults", []string{"s3:GetObject"}, at("out/"+tenant+"/"), nil)
		allow("BlobsByDigest", append([]string{"s3:GetObject"}, multipart...), at("blobs/sha256/"), nil)
		allow("OwnListings", []string{"s3:ListBucket"}, []string{place}, map[string]map[string][]string{
			"StringLike": {"s3:prefix": {"inputs/" + tenant + "/*", "outputs/" + tenant + "/*", "out/" + tenant + "/*"}},
		})
		p.Statement = append(p.Statement, Statement{
			Sid: "ReplaceNoBlob", Effect: "Deny", Action: []string{"s3:PutObject"}, Resource: at("blobs/sha256/"),
			Condition: map[string]map[string][]string{"Null": {"s3:if-none-match": {"true"}}, "Bool": {"s3:ObjectCreationOperation": {"true"}}},
		})
	case Worker:
		allow("Objects", append([]string{"s3:GetObject", "s3:DeleteObject"}, multipart...), at("inputs/", "outputs/", "out/", "results/", "code/"), nil)
		allow("Blobs", []string{"s3:GetObject"}, at("blobs/sha256/"), nil)
		allow("Probe", append([]string{"s3:GetObject", "s3:DeleteObject"}, multipart...), at("probes/"), nil)
		allow("Listings", []string{"s3:ListBucket", "s3:GetBucketLocation"}, []string{place}, nil)
	case Operator:
		allow("Everything", []string{"s3:*"}, []string{place, place + "/*"}, nil)
	default:
		return nil, fmt.Errorf("a %s uses no object store", role)
	}
	return p, nil
}
