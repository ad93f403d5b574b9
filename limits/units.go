package limits

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is an amount of bytes. In JSON it is a whole number, or a string with
// a unit ("64MiB", "10 MB", "512k").
type Bytes uint64

// Binary units.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
)

// byteUnits lists the accepted suffixes, lower case. A bare "k" or "m" is
// binary, as docker and Kubernetes users type it for memory.
var byteUnits = map[string]Bytes{
	"": 1, "b": 1,
	"k": KiB, "kib": KiB, "ki": KiB, "kb": 1e3,
	"m": MiB, "mib": MiB, "mi": MiB, "mb": 1e6,
	"g": GiB, "gib": GiB, "gi": GiB, "gb": 1e9,
}

// ParseBytes reads an amount such as "65536", "64KiB" or "1.5GB".
func ParseBytes(s string) (Bytes, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	cut := strings.LastIndexFunc(t, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' }) + 1
	num, unit := t[:cut], strings.TrimSpace(t[cut:])
	mult, known := byteUnits[unit]
	if num == "" || !known {
		return 0, fmt.Errorf("%q is not an amount of bytes; write a whole number or a number with KiB, MiB, GiB, KB, MB or GB", s)
	}
	if n, err := strconv.ParseUint(num, 10, 64); err == nil {
		if n > math.MaxInt64/uint64(mult) {
			return 0, fmt.Errorf("%q is more bytes than can be counted", s)
		}
		return Bytes(n) * mult, nil
	}
	f, err := strconv.ParseFloat(num, 64)
	if strings.Trim(num, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not an amount of bytes; write digits and a unit", s)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount of bytes: %q is not a number", s, num)
	}
	total := f * float64(mult)
	if total != math.Trunc(total) {
		return 0, fmt.Errorf("%q is not a whole number of bytes", s)
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is more bytes than can be counted", s)
	}
	return Bytes(total), nil
}

// UnmarshalJSON accepts a whole number or a string for ParseBytes.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	} else if _, err := strconv.ParseUint(text, 10, 64); err != nil {
		return fmt.Errorf("%s is not an amount of bytes; write a whole number or a string such as \"64MiB\"", text)
	}
	n, err := ParseBytes(text)
	if err != nil {
		return err
	}
	*b = n
	return nil
}

// String gives the amount with the largest binary unit that loses nothing.
func (b Bytes) String() string {
	switch {
	case b >= GiB && b%GiB == 0:
		return fmt.Sprintf("%dGiB", b/GiB)
	case b >= MiB && b%MiB == 0:
		return fmt.Sprintf("%dMiB", b/MiB)
	case b >= KiB && b%KiB == 0:
		return fmt.Sprintf("%dKiB", b/KiB)
	}
	return strconv.FormatUint(uint64(b), 10)
}

// Duration is a length of wall-clock time. In JSON it is seconds as a number
// (fractions allowed) or a Go duration string ("1.5s", "250ms", "2m"). It
// counts nanoseconds as time.Duration does, but can never be negative.
type Duration uint64

// ParseDuration reads seconds ("2", "0.25") or a duration string ("250ms").
func ParseDuration(s string) (Duration, error) {
	t := strings.TrimSpace(s)
	if f, err := strconv.ParseFloat(t, 64); err == nil {
		return durationOfSeconds(f)
	}
	d, err := time.ParseDuration(t)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write seconds (2.5) or a duration such as 250ms, 10s or 2m", s)
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %q is negative", s)
	}
	return Duration(d), nil
}

func durationOfSeconds(f float64) (Duration, error) {
	if math.IsNaN(f) || f < 0 || f > float64(math.MaxInt64)/float64(time.Second) {
		return 0, fmt.Errorf("%v seconds is not a usable duration", f)
	}
	return Duration(f * float64(time.Second)), nil
}

// UnmarshalJSON accepts a number of seconds or a duration string.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		v, err := ParseDuration(s)
		if err != nil {
			return err
		}
		*d = v
		return nil
	}
	f, err := strconv.ParseFloat(string(data), 64)
	if err != nil {
		return fmt.Errorf("%s is not a duration; write seconds (2.5) or a string such as \"250ms\"", data)
	}
	v, err := durationOfSeconds(f)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// MarshalJSON writes seconds as a number, the seed's unit.
func (d Duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(d).Seconds(), 'f', -1, 64), nil
}

// String is the Go form of the duration.
func (d Duration) String() string { return time.Duration(d).String() }

// StringList is a list of strings that JSON may also write as one string.
type StringList []string

// UnmarshalJSON accepts one string or a list of strings.
func (l *StringList) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*l = StringList{s}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return fmt.Errorf("%s is neither a string nor a list of strings", data)
	}
	*l = many
	return nil
}
