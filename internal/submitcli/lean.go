package submitcli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"boxfleet/jobs"
)

// leanResult is the end of a job as a batch needs it: a few numbers for the summary, and the
// result's JSON to be copied as it is. Decoding a whole record and encoding its
// result again would be most of what a batch costs the client.
type leanResult struct {
	outcome             jobs.Outcome
	submitted, finished time.Time
	runMS               float64
	fuel                uint64
	toolError           bool   // the tool says that its call failed
	result              []byte // the result's JSON on one line
}

// leanOf reads the JSON of a finished record. ok is false when it is not
// written as workers write it, whether valid or not; then it must be decoded
// in full.
func leanOf(record []byte) (l leanResult, ok bool) {
	done := false
	s := scanner{data: record}
	var once keysOnce
	ok = s.object(func(key []byte) bool {
		if !once.see(key) {
			return false
		}
		switch string(key) {
		case "state":
			state, ok := s.plainText()
			done = string(state) == string(jobs.Done)
			return ok
		case "submitted_at":
			return s.time(&l.submitted)
		case "result":
			start := s.i
			if !l.read(&s) {
				return false
			}
			l.result = withLists(record, start, s.i, s.nulls)
			return true
		}
		return s.skip(0)
	})
	return l, ok && s.i == len(record) && done && l.outcome != ""
}

// read reads a result.
func (l *leanResult) read(s *scanner) bool {
	var once keysOnce
	lists := 0
	ok := s.object(func(key []byte) bool {
		if !once.see(key) {
			return false
		}
		switch string(key) {
		case "outcome":
			text, ok := s.plainText()
			l.outcome = jobs.Outcome(text)
			return ok && slices.Contains(jobs.Outcomes, l.outcome)
		case "finished_at":
			return s.time(&l.finished)
		case "fuel_consumed":
			n, ok := s.number()
			if !ok {
				return false
			}
			var err error
			l.fuel, err = strconv.ParseUint(string(n), 10, 64)
			return err == nil
		case "phases":
			run := false
			return s.object(func(key []byte) bool {
				if string(key) != jobs.PhaseRun {
					return s.skip(0)
				}
				if run {
					return false
				}
				run = true
				n, ok := s.number()
				if !ok {
					return false
				}
				var err error
				l.runMS, err = strconv.ParseFloat(string(n), 64)
				return err == nil
			})
		case "tool_error":
			rest := s.data[s.i:]
			l.toolError = !bytes.HasPrefix(rest, []byte(`""`)) && !bytes.HasPrefix(rest, []byte("null"))
			return s.skip(0)
		case "outputs", "denials":
			lists++
			if s.peek() == 'n' {
				s.nulls = append(s.nulls, s.i)
			}
			return s.skip(0)
		}
		return s.skip(0)
	})
	return ok && lists == 2
}

// keysOnce refuses keys that the decoder might take for others: repeated ones,
// and those that are not lower case, because it ignores case.
type keysOnce struct {
	seen [40][]byte
	n    int
}

func (k *keysOnce) see(key []byte) bool {
	for _, c := range key {
		if !(c >= 'a' && c <= 'z' || c == '_') {
			return false
		}
	}
	for _, other := range k.seen[:k.n] {
		if bytes.Equal(other, key) {
			return false
		}
	}
	if k.n == len(k.seen) {
		return false
	}
	k.seen[k.n] = key
	k.n++
	return true
}

// withLists gives data[from:to] with an empty list for each null at the given
// places, which is how an empty list of Go may be written.
func withLists(data []byte, from, to int, nulls []int) []byte {
	if len(nulls) == 0 {
		return data[from:to]
	}
	out := make([]byte, 0, to-from)
	for _, at := range nulls {
		out = append(append(out, data[from:at]...), "[]"...)
		from = at + len("null")
	}
	return append(out, data[from:to]...)
}

// lean makes the same of a decoded record.
func lean(rec *jobs.Record) (leanResult, error) {
	r := rec.Result
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if r == nil {
		return leanResult{}, fmt.Errorf("the record of job %s has no result", rec.ID)
	}
	if err := enc.Encode(inLists(r)); err != nil {
		return leanResult{}, err
	}
	return leanResult{
		outcome: r.Outcome, submitted: rec.SubmittedAt, finished: r.FinishedAt, runMS: r.Phases[jobs.PhaseRun], fuel: r.FuelConsumed,
		toolError: r.ToolError != "", result: bytes.TrimSpace(text.Bytes()),
	}, nil
}

// scanner walks compact JSON, as encoding/json writes it: valid, and with no
// space between tokens. It refuses everything else, including keys that are
// written with escapes.
type scanner struct {
	data  []byte
	i     int
	nulls []int // where a list is written as null
}

// maxNesting bounds recursion over JSON that others wrote.
const maxNesting = 64

func (s *scanner) peek() byte {
	if s.i < len(s.data) {
		return s.data[s.i]
	}
	return 0
}

func (s *scanner) eat(c byte) bool {
	if s.peek() != c || c == 0 {
		return false
	}
	s.i++
	return true
}

// object walks an object; member must read the value of each key.
func (s *scanner) object(member func(key []byte) bool) bool {
	if !s.eat('{') {
		return false
	}
	if s.eat('}') {
		return true
	}
	for {
		key, ok := s.plainText()
		if !ok || !s.eat(':') || !member(key) {
			return false
		}
		if s.eat('}') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

// plainText reads a string that has no escapes.
func (s *scanner) plainText() ([]byte, bool) {
	start := s.i
	if !s.text() {
		return nil, false
	}
	t := s.data[start+1 : s.i-1]
	return t, bytes.IndexByte(t, '\\') < 0
}

// text steps over a string (RFC 8259, section 7).
func (s *scanner) text() bool {
	if !s.eat('"') {
		return false
	}
	for s.i < len(s.data) {
		switch c := s.data[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < 0x20:
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		default:
			s.i++
		}
	}
	return false
}

func (s *scanner) escape() bool {
	s.i++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		if s.i+5 > len(s.data) {
			return false
		}
		for _, c := range s.data[s.i+1 : s.i+5] {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
		s.i += 5
		return true
	}
	return false
}

// number reads a number (RFC 8259, section 6).
func (s *scanner) number() ([]byte, bool) {
	start := s.i
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return nil, false
	}
	if s.eat('.') && !s.digits() {
		return nil, false
	}
	if s.eat('e') || s.eat('E') {
		if !s.eat('+') {
			s.eat('-')
		}
		if !s.digits() {
			return nil, false
		}
	}
	return s.data[start:s.i], true
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.data) && s.data[s.i] >= '0' && s.data[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) time(to *time.Time) bool {
	text, ok := s.plainText()
	if !ok {
		return false
	}
	var err error
	*to, err = time.Parse(time.RFC3339Nano, string(text))
	return err == nil
}

// skip steps over any value.
func (s *scanner) skip(depth int) bool {
	if depth > maxNesting {
		return false
	}
	switch c := s.peek(); {
	case c == '"':
		return s.text()
	case c == '{':
		return s.object(func([]byte) bool { return s.skip(depth + 1) })
	case c == '[':
		s.i++
		if s.eat(']') {
			return true
		}
		for s.skip(depth + 1) {
			if s.eat(']') {
				return true
			}
			if !s.eat(',') {
				return false
			}
		}
		return false
	case c == '-' || c >= '0' && c <= '9':
		_, ok := s.number()
		return ok
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.i:], []byte(word)) {
			s.i += len(word)
			return true
		}
	}
	return false
}
