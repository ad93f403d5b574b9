package command

import "strconv"

// Option is one option of a command. Make it with [Bool], [String], [Number] or
// [Strings] and refine it with the methods, which return the option itself.
type Option struct {
	long     string
	short    byte // 0: none
	help     string
	kind     kind
	required bool
	values   []string // possible values; nil: any
	initial  string   // the default as help shows it
	seen     bool

	asBool    *bool
	asString  *string
	asNumber  *int
	asStrings *[]string
}

type kind int

const (
	kindBool kind = iota
	kindString
	kindNumber
	kindStrings
)

// Bool is a switch: `--long`, or `--long=false` to put it back.
func Bool(p *bool, long, help string) *Option {
	return &Option{long: long, help: help, kind: kindBool, asBool: p}
}

// String is an option with a value. What *p holds is its default.
func String(p *string, long, help string) *Option {
	return &Option{long: long, help: help, kind: kindString, initial: *p, asString: p}
}

// Number is an option with a whole number, in decimal. What *p holds is its
// default.
func Number(p *int, long, help string) *Option {
	return &Option{long: long, help: help, kind: kindNumber, initial: strconv.Itoa(*p), asNumber: p}
}

// Strings is an option that may be given more than once; the values are appended
// to *p.
func Strings(p *[]string, long, help string) *Option {
	return &Option{long: long, help: help, kind: kindStrings, asStrings: p}
}

// Short adds the one-letter form.
func (o *Option) Short(c byte) *Option { o.short = c; return o }

// Required makes Parse refuse a command line that gives the option neither by
// name nor by place.
func (o *Option) Required() *Option { o.required = true; return o }

// OneOf makes Parse refuse any other value.
func (o *Option) OneOf(values ...string) *Option { o.values = values; return o }

// Given reports whether the command line set the option.
func (o *Option) Given() bool { return o.seen }

func (o *Option) set(value string) error {
	if err := o.check(value); err != nil {
		return err
	}
	o.seen = true
	switch o.kind {
	case kindString:
		*o.asString = value
	case kindStrings:
		*o.asStrings = append(*o.asStrings, value)
	case kindBool:
		switch value {
		case "true":
			*o.asBool = true
		case "false":
			*o.asBool = false
		default:
			return usageError("--" + o.long + " is a switch: want no value, true or false, got " + strconv.Quote(value))
		}
	case kindNumber:
		n, err := strconv.Atoi(value)
		if err != nil {
			return usageError("--" + o.long + " wants a whole number, got " + strconv.Quote(value))
		}
		*o.asNumber = n
	}
	return nil
}

func (o *Option) check(value string) error {
	if len(o.values) == 0 {
		return nil
	}
	list := ""
	for i, v := range o.values {
		if v == value {
			return nil
		}
		if i > 0 {
			list += ", "
		}
		list += v
	}
	return usageError("--" + o.long + " is " + strconv.Quote(value) + ": want one of " + list)
}
