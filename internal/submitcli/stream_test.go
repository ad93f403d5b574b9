package submitcli

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"boxfleet/jobs"
)

// TestStreamNeverRepeatsOrLoses deals a stream's pieces out badly: lost, twice,
// late, cut anew by a second attempt. What is written must be the stream.
func TestStreamNeverRepeatsOrLoses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		whole := make([]byte, r.IntN(2000))
		for i := range whole {
			whole[i] = byte(r.Uint32())
		}
		var out bytes.Buffer
		s := newStream("stdout", &out)
		for range 1 + r.IntN(3) { // attempts
			for at := 0; at < len(whole); {
				n := min(1+r.IntN(200), len(whole)-at)
				if r.IntN(20) != 0 { // a piece is lost now and then
					if err := s.piece(int64(at), whole[at:at+n]); err != nil {
						t.Fatal(err)
					}
				}
				if r.IntN(20) == 0 && at > 0 { // an old one comes again
					if err := s.piece(0, whole[:at]); err != nil {
						t.Fatal(err)
					}
				}
				at += n
			}
		}
		if !bytes.Equal(out.Bytes(), whole[:out.Len()]) {
			t.Fatalf("seed %d: what was shown live is no beginning of the stream", seed)
		}
		if err := s.finish(t.Context(), nil, "j", whole, ""); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(out.Bytes(), whole) {
			t.Fatalf("seed %d: %d bytes written of a stream of %d", seed, out.Len(), len(whole))
		}
	}
}

func TestStreamNoticesAnotherAttemptsOutput(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]string{"other bytes": "abXdef", "shorter": "ab", "empty": ""} {
		var out bytes.Buffer
		s := newStream("stdout", &out)
		if err := s.piece(0, []byte("abc")); err != nil {
			t.Fatal(err)
		}
		err := s.finish(t.Context(), nil, "j1", []byte(final), "")
		var differs *differsError
		if !errors.As(err, &differs) || differs.id != "j1" {
			t.Errorf("%s: error %v, want one that says that the output differs", name, err)
		}
		if out.String() != "abc" {
			t.Errorf("%s: %q was written, want what was shown and no more", name, out.String())
		}
	}
}

func TestStreamsOfACanceledJobKeepWhatWasShown(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	s := &streams{newStream("stdout", &out), newStream("stderr", &errOut)}
	if err := errors.Join(s.piece(jobs.LogChunk{Stream: "stdout", Data: []byte("a")}), s.piece(jobs.LogChunk{Stream: "stderr", Data: []byte("b")})); err != nil {
		t.Fatal(err)
	}
	if err := s.finish(t.Context(), nil, &jobs.Result{ID: "j", Outcome: jobs.Canceled}); err != nil {
		t.Errorf("a canceled job without output: %v", err)
	}
	if out.String() != "a" || errOut.String() != "b" {
		t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
	}
}
