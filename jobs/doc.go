// Package jobs is boxfleet's queue: what travels, who holds a job, how it ends
// and where its result is found. It knows NATS JetStream and nothing of wasm;
// the executor is plugged in as a [Handler].
//
// # Submitting
//
// A [Job] is one run of one tool, pinned by digest, with one RunOption. A
// [Client] hands it to JetStream:
//
//	nc, js, err := jobs.Connect(ctx, jobs.ConnConfig{URL: url, Wait: time.Minute})
//	client, err := jobs.NewClient(ctx, nc, js, "default")
//	receipt, err := client.Submit(ctx, &jobs.Job{Tool: manifest.Tool(), Args: []string{"-r", ".name"}})
//
// When Submit returns without an error the job is stored and will end in
// exactly one result. When it returns an error the job may be stored or not;
// submitting it again with the same id is safe. [Client.SubmitMany] does the
// same for thousands, in atomic batches.
//
// A job may say when it starts: at a time (RunAt), when others have ended
// (After), when its key has a free place (Concurrency) or its turn (Rate). Until
// then its message stands in a lane of its own, and [Client.Get] calls it
// [Scheduled], [Held] or [Queued]. An IdempotencyKey makes many submissions one
// job; [Client.SubmitArray] makes one submission many jobs, and
// [Client.PutSchedule] starts one again and again; a [Batch] counts what belongs
// together.
//
// # Working
//
// A [Worker] takes a free slot, then pulls one message for it, so that no job
// waits in a process that cannot start it while another could. Tenants take
// turns by weight; within a tenant the priorities are served 16 : 4 : 1. What
// must be done once in a fleet is done by one of its workers, the coordinator,
// as a [Chore].
//
// # The life of a job
//
// A job's truth is its [Record], one key of the status bucket, changed by
// compare-and-set only. A job that waits has none: its message is the proof.
//
//	 Submit
//	   |
//	   +--> scheduled, held ----+  its time has come, the others have ended
//	   |            |           |
//	   v            |           |
//	queued <--------)-----------+
//	   |            |
//	   | claim      |                     commit, then ack
//	   +------------)------> running ------------------------> done
//	   |            |         |  ^  |                           ^ ^
//	   |            |         |  |  | attempts spent, permanent | |
//	   |  transient |   error,|  |  | error: dead letter first  | |
//	   |  drain, sick store   |  |  +---------------------------+ |
//	   |            |         v  |                                |
//	   |            |      retrying                               |
//	   |            |         |                                   |
//	   +------------+---------+-----------------------------------+
//	             Cancel, or expiry, while it waits
//
// A worker that falls silent leaves the record running; when the server
// delivers the message again, its next holder goes from running to running
// with the next attempt number.
//
// # Who fences what
//
// JetStream delivers at least once, and an acknowledgement is no fence: after a
// redelivery both holders' acks succeed. So:
//
//   - The record fences the result. It names attempt, worker and start; only
//     who it names may write it. Whoever lost the compare-and-set drops its
//     attempt, and touches neither result nor message.
//   - The attempt number never repeats, not even for attempts that are given
//     back without cost, so each attempt has an output prefix of its own.
//   - The manifest fences the outputs: one object, stored only if there is
//     none. Who finds another attempt's manifest makes that result the job's.
//   - A message is acknowledged only when the record is Done. A late, doubled
//     or misdirected ack therefore loses nothing.
//
// This gives one committed result for every accepted job. A guest may run more
// than once (its worker died), but its result is committed once. The protocol
// is small enough to be checked state by state: see TestProtocolModel.
//
// # What an error does
//
// A guest that fails is a [Result]. An error of a [Handler] means that the
// fleet failed, and its [Class] decides: [ClassTransient] errors are tried
// again, with growing jittered pauses, until the attempts are spent;
// [ClassUnavailable] ones cost the job nothing and stop the worker's fetching
// until a probe succeeds; [ClassPermanent] ones end the job at once. A job that
// ends so is Failed, and its message is kept as a [DeadLetter].
//
// # Following
//
// [Client.Get] reads one record, [Client.Records] all of a tenant. A [Waiter]
// is told of finished jobs as they end and looks up what was not announced.
// [Client.NewTail] follows a running guest's output.
//
// The settings of every stream and bucket, and why they are so, are in
// docs/queue.md; what is promised under which settings in docs/guarantees.md.
package jobs
