package fleetauth

import (
	"github.com/nats-io/jwt/v2"

	"boxfleet/jobs"
)

// Role is what an identity is for.
type Role string

// The roles.
const (
	// Submitter is a tenant's user: everything goes through the gate.
	Submitter Role = "submitter"
	// Worker runs jobs of all tenants.
	Worker Role = "worker"
	// Gate passes submitters' requests on.
	Gate Role = "gate"
	// Operator may do everything in the fleet's account.
	Operator Role = "operator"
	// System is for the servers' own account: monitoring and reloads, no jobs.
	System Role = "system"
)

// Roles lists all.
var Roles = []Role{Submitter, Worker, Gate, Operator, System}

// Bounds of one submitter's connection.
const (
	submitterSubs    = 4096
	submitterPayload = 1 << 20
)

// everyStream are the streams and buckets that workers make and use.
var everyStream = []string{
	jobs.StreamJobs, jobs.StreamEvents, jobs.StreamDead, jobs.StreamAdvisories,
	"KV_" + jobs.BucketStatus, "KV_" + jobs.BucketWorkers, "KV_" + jobs.BucketTools, "KV_" + jobs.BucketBatches, "KV_" + jobs.BucketUnique,
	"KV_" + jobs.BucketTenants, "KV_" + jobs.BucketLeases, "KV_" + jobs.BucketPlaces, "KV_" + jobs.BucketKeys,
}

// permissions are a role's. Of all roles only the submitter's are a border
// against malice; those of worker and gate keep mistakes small, since whoever
// may use JetStream's API can make the server write for it (docs/security.md).
func permissions(g Grant) jwt.Permissions {
	var p jwt.Permissions
	switch g.Role {
	case Submitter:
		who := jobs.Identity{Tenant: g.Tenant, User: g.User}
		p.Pub.Allow.Add(who.GatePrefix()+">",
			"$JS.FC.>") // the answer to flow control of one's own deliveries; it makes the server send nothing
		p.Sub.Allow.Add(who.InboxPrefix()+".>",
			"done."+g.Tenant+".>", "events."+g.Tenant+".>", "jobs."+g.Tenant+".>", "notify."+g.Tenant+".>")
	case Worker:
		p.Pub.Allow.Add("jobs.>", "submit.>", "members.>", "events.>", "done.>", "dlq.>", "wake.>", "ctl.cancel.>", "notify.>",
			"$KV.status.>", "$KV.workers.>", "$KV.batches.>", "$KV.unique.>", "$KV.places.>", "$KV.keys.>", "$KV.leases.>", "$KV.tools.digest.>",
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.GET.>", "$JS.ACK.>", "$JS.FC.>",
			"$JS.API.STREAM.PURGE."+jobs.StreamJobs, "$JS.API.STREAM.MSG.DELETE."+jobs.StreamJobs)
		for _, s := range everyStream {
			p.Pub.Allow.Add("$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.CREATE."+s, "$JS.API.STREAM.UPDATE."+s, "$JS.API.STREAM.MSG.GET."+s)
		}
		p.Sub.Allow.Add("_INBOX.>", "wake.>", "ctl.cancel.>", "done.>", "submit.>",
			"jobs.*.hold.*", "members.>") // hints for the coordinator, which without them looks at intervals only
	case Gate:
		p.Pub.Allow.Add("inbox.>", "jobs.>", "submit.*.array.*", "submit.*.cron.*", "submit.*.start.*", "members.>",
			"wake.>", "ctl.cancel.>", "done.>", "events.*.audit.*",
			"$KV.status.>", "$KV.batches.>", "$KV.unique.>", "$KV.keys.>",
			"$JS.API.DIRECT.GET.>", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.INFO.>", "$JS.API.CONSUMER.DELETE.>", "$JS.API.CONSUMER.MSG.NEXT.>",
			"$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>", "$JS.API.STREAM.PURGE."+jobs.StreamJobs, "$JS.API.STREAM.MSG.DELETE."+jobs.StreamDead)
		p.Sub.Allow.Add("gate.>", "_INBOX.>")
	case Operator:
		p.Pub.Allow.Add(">")
		p.Sub.Allow.Add(">")
	case System:
		p.Pub.Allow.Add("$SYS.>")
		p.Sub.Allow.Add("$SYS.>", "_INBOX.>")
	}
	return p
}
