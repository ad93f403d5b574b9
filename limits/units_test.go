package limits

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want Bytes
		bad  string // part of the error
	}{
		{in: "0"}, {in: "65536", want: 65536}, {in: "64KiB", want: 64 << 10}, {in: "64 kib", want: 64 << 10},
		{in: "10MB", want: 10_000_000}, {in: "512m", want: 512 << 20}, {in: "1.5GiB", want: 3 << 29}, {in: "2g", want: 2 << 30},
		{in: "", bad: "not an amount"}, {in: "-1", bad: "not an amount"}, {in: "KiB", bad: "not an amount"},
		{in: "1.5", bad: "whole number"}, {in: "1e9", bad: "not an amount"}, {in: "10TB", bad: "not an amount"},
		{in: "99999999999GiB", bad: "more bytes"}, {in: "18446744073709551616", bad: "more bytes"}, {in: "1.2.3k", bad: "not a number"},
		{in: "0x10", bad: "not an amount"}, {in: "١", bad: "not an amount"},
	} {
		got, err := ParseBytes(tc.in)
		if tc.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("ParseBytes(%q) = %d, %v; want an error with %q", tc.in, got, err, tc.bad)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", tc.in, got, err, tc.want)
		}
	}
}

func TestBytesReadTheirOwnText(t *testing.T) {
	t.Parallel()
	for _, n := range []Bytes{0, 1, 1023, 1024, 1025, 3 << 20, 5 << 30, math.MaxInt64} {
		got, err := ParseBytes(n.String())
		if err != nil || got != n {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", n.String(), got, err, n)
		}
	}
}

func TestDurationJSON(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want time.Duration
		bad  bool
	}{
		{in: "2", want: 2 * time.Second}, {in: "0.25", want: 250 * time.Millisecond}, {in: `"250ms"`, want: 250 * time.Millisecond},
		{in: `"2"`, want: 2 * time.Second}, {in: `"1m30s"`, want: 90 * time.Second},
		{in: "-1", bad: true}, {in: `"-5s"`, bad: true}, {in: `"soon"`, bad: true}, {in: "1e300", bad: true}, {in: "true", bad: true}, {in: `"NaN"`, bad: true}, {in: "{}", bad: true},
	} {
		var d Duration
		err := json.Unmarshal([]byte(tc.in), &d)
		if tc.bad {
			if err == nil {
				t.Errorf("%s decoded as %s; want an error", tc.in, d)
			}
			continue
		}
		if err != nil || time.Duration(d) != tc.want {
			t.Errorf("%s decoded as %s, %v; want %s", tc.in, d, err, tc.want)
		}
		back, err := json.Marshal(d)
		var again Duration
		if err != nil || json.Unmarshal(back, &again) != nil || again != d {
			t.Errorf("%s does not survive a round trip: %s, %v", d, back, err)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"64MiB", "1.5k", "", "9e9", "-0", "00001g"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseBytes(s)
		if err == nil && n > math.MaxInt64 {
			t.Fatalf("%q gave %d, more than an int64 holds", s, n)
		}
	})
}
